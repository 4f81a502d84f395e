"""Long hostile days, as a program: `make soak`."""
