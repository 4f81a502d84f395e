"""What the tokenizers of tiny models know: every ASCII character, common words, common Chinese characters."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence

from bge_onnx.errors import InputValueError

PUNCTUATION = string.punctuation + "。，、；：？！（）《》“”‘’—…·"
SUFFIXES = ("s", "ed", "er", "es", "ing", "ion", "ly", "al", "ment", "ness", "able", "est", "ity", "ive", "th", "en")

WORDS: tuple[str, ...] = tuple(
    """
    the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which
    one you were all her she there would their we him been has when who will no more if out so up said what its
    about than into them can only other time new some could these two may first then do any like my now over such
    our man me even most made after also did many off before must well back through years where much your way down
    should because long each just state those people too mr how little good world make very year still see own work
    men day get here between both life being under three never know same last another while us might great old go
    come since against right came take used himself few use place during without again home around small however
    found thought went say part once general high upon school every does got united left number course war until
    always away something fact water less public put think almost hand enough took far head yet government system
    better set told nothing night end why called find look going point knew next city business give group days young
    let room within order word country light side form name best become important large often human different
    history body animal cat dog bird fish tree river mountain sea sun moon star earth fire air food bread milk red
    green blue white black car train ship road house door window paper book story language letter question answer
    search passage query document sentence represent relevant model vector data computer science music art king
    queen army church money market price company law court doctor health heart brain cell energy power force speed
    south north east west summer winter spring capital france paris london china germany america europe hello
    goodbye
    """.split()
)

CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十"
    "民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯"
    "月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女"
    "变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基"
    "眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今"
    "切院让识候带导争运查询句索检章京城首猫狗鸟鱼器习智支巴黎伦敦英语言模型似答案段落标网络历史技济医校朋友音乐影食季"
    "节春夏秋冬早晚红黄蓝绿黑七八九零百千"
)


def pieces(required: Sequence[str], words: Sequence[str], *, size: int | None) -> list[str]:
    """Lists a vocabulary without repetitions: required pieces, then words, then made-up words up to `size`.

    Args:
        required: Pieces without which a text could not be split.
        words: Whole words, the first of which stay when `size` has no room for all.
        size: The number of pieces, or None for exactly the required ones and the words.

    Raises:
        InputValueError: `size` has no room for the required pieces.
    """
    needed = list(dict.fromkeys(required))
    known = list(dict.fromkeys([*needed, *words]))
    if size is None:
        return known
    if size < len(needed):
        raise InputValueError(f"a vocabulary of {size} cannot hold every character; give at least {len(needed)}")
    taken = set(known)
    made_up = (word for word in _made_up_words() if word not in taken)
    return [*known[:size], *itertools.islice(made_up, size - len(known[:size]))]


def _made_up_words() -> Iterator[str]:
    """Pronounceable words of two, three and then four syllables: more than enough for any vocabulary."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvz" for vowel in "aeiou"]
    for count in (2, 3, 4):
        for combination in itertools.product(syllables, repeat=count):
            yield "".join(combination)
