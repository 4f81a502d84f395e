"""Texts written for the comparison: short ones, and those that tell one recipe from another.

Some hold line breaks, capitals, outer spaces or accents; some exceed 256, 384 and 512 tokens, where a limit shows.
"""

from __future__ import annotations

_SENTENCES = (
    "The ferry to the island leaves twice a day in winter.",
    "Copper conducts heat better than iron does.",
    "A good loaf of bread needs time more than it needs yeast.",
    "The library closes at six on Fridays, and at one on Saturdays.",
    "Our router forgets its settings after every power cut.",
    "Bees find their way home by the position of the sun.",
    "The committee postponed its decision until the audit is done.",
    "Lisbon's trams still climb hills that buses avoid.",
    "A sonnet has fourteen lines; a haiku has three.",
    "To reset the password, hold the button for ten seconds.",
    "Glaciers carve valleys shaped like the letter U.",
    "The invoice was paid twice, so we refunded the second payment.",
    "Her second novel is set in a lighthouse on the Baltic coast.",
    "Water boils at a lower temperature on high mountains.",
    "The orchestra tuned while the audience was still arriving.",
    "Tomatoes ripen faster beside a banana in a paper bag.",
    "A deadlock needs four conditions; remove one and it cannot happen.",
    "The museum lends its older maps to schools free of charge.",
    "Rust spreads quickly where the paint has cracked.",
    "He learned to sail before he learned to ride a bicycle.",
    "The patch fixes a memory leak in the image decoder.",
    "Owls swallow small prey whole and return the bones as pellets.",
    "Rents near the station rose by a tenth last year.",
    "The treaty was signed in a railway carriage.",
    "Fold the paper along the dotted line and press firmly.",
    "A comet's tail always points away from the sun.",
    "The vaccine must be stored between two and eight degrees.",
    "Jazz came up the river with the steamboats.",
)
_LIVELY = (
    "WARNING: Do NOT open the valve while the PUMP is running!",
    "Señor Núñez ordered a café au lait and a crème brûlée.",
    "  Two spaces stand before this sentence and three behind it.   ",
    "Shopping list:\n- flour\n- eggs\n- a little salt",
    "First line of the address\nSecond line of the address\nPostcode and town",
    "Step one: open the lid.\n\nStep two: remove the filter.\n\nStep three: rinse it.",
    "def area(width, height):\n    return width * height",
    "See https://example.com/help?page=2#top for the full terms & conditions.",
    "Total: 1,204.50 EUR (incl. 19% VAT), due by 2024-03-31.",
    "Dear Ms Okafor,\r\n\r\nThank you for your letter of 3 May.\r\n\r\nKind regards",
    "\tIndented by a tab, as old mail programs did",
    "JSON, XML, YAML and TOML walk into a bar.",
    "我们每天早上八点坐地铁去上班。",
    "Grüße aus Köln, wo der Rhein heute über die Ufer trat.",
)
QUERIES = (
    "when does the ferry leave in winter",
    "Which metal conducts heat well?",
    "opening hours of the library",
    "why does my router lose its settings",
    "How do bees navigate?",
    "reset a forgotten password",
    "HOW MANY LINES HAS A HAIKU?",
    "boiling point at altitude",
    "ripen tomatoes faster",
    "what causes a deadlock",
    "storage temperature\nof the vaccine",
    "  direction of a comet's tail ",
)


def _long(sentences: int, *, first: int, between: str) -> str:
    return between.join(_SENTENCES[(first + 5 * place) % len(_SENTENCES)] for place in range(sentences))


# About 120, 200, 280, 320, 420, 470, 560 and 800 tokens.
_LONG = (
    _long(9, first=0, between=" "),
    _long(15, first=3, between="\n"),
    _long(21, first=6, between=" "),
    _long(25, first=1, between="\n\n"),
    _long(33, first=2, between=" "),
    _long(37, first=9, between="\n"),
    _long(45, first=4, between=" "),
    _long(64, first=7, between=" "),
)

DOCUMENTS = (*_SENTENCES, *_LIVELY, *_LONG)
QUERY = "How do bees find their way home?"
PASSAGES = (*_SENTENCES[:12], *_LIVELY[:4])
# Query and passage exceed 512 tokens together, and each of them exceeds half of that: where libraries cut differently.
LONG_QUERY = _LONG[6]
LONG_PASSAGES = (_LONG[2], _LONG[4], _LONG[7])
