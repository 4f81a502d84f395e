"""`make demo`: real weights, three frameworks, one index, and a page of what came out."""
