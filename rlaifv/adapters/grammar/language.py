"""Is a sentence English? Function words decide; a vocabulary decides where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable

from rlaifv.adapters.grammar.lexicon import words

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")

_ENGLISH = words("""
    a an the is are was were be been being has have had there this that these those it its he she his her they their
    them we i you and or but of to in on at with for from by near behind next under over above below between into
    onto through can could may might would should some no not two three several while which who what yes shows left
    right top bottom middle one does do see
""")
_FOREIGN = words("""
    le la les des du une et est dans avec sur qui que sont il elle au aux ce cette ces pas pour deux je nous vous y
    el los las unos unas con en por para del hay como muy dos esta este estan der das und ist ein eine einen einem
    einer im mit auf dem den sind zwei von zu auch nicht es gibt ich sie wir uno gli di che per sono nel nella della
    sul sulla questo questa due o os um uma da com na nos nas ao duas num tem een het op van zijn twee er och är ett
    som på av det finns jag har til og af jest się nie dwa bir ve bu de dan yang ini itu ada ke dengan
""") - frozenset(["y", "o", "a", "in", "on", "an", "no", "me", "do", "can", "as", "den", "per", "die", "der", "so"])


def looks_english(sentence: str, known: Callable[[str], bool]) -> bool:
    """Whether to parse `sentence` as English; `known` says whether a lower-case word is in an English vocabulary.

    Lenient with fragments ("- Red car"): one known word in two is enough where no function word speaks for another
    language.
    """
    words = [w.lower() for w in _WORD.findall(sentence)]
    if not words:
        return False
    letters = [c for c in sentence if c.isalpha()]
    if sum(c.isascii() for c in letters) < 0.7 * len(letters):
        return False
    english = sum(w in _ENGLISH or "'" in w for w in words)
    foreign = sum(w in _FOREIGN and w not in _ENGLISH for w in words)
    if foreign > english or (foreign and foreign == english and len(words) > 3):
        return False
    if english >= max(1, len(words) // 5):
        return True
    return 2 * sum(w in _ENGLISH or known(w) for w in words) >= len(words)
