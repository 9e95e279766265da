"""English word forms: plural or not, a or an, -ing, third person. Pure functions of the word."""

from __future__ import annotations

import re

from rlaifv.adapters.grammar.lexicon import nouns, words

_VOWEL_SOUND_EXCEPTIONS = re.compile(r"(?:uni(?!n)|use|usu|uk|ure|eu|ewe|one\b|ones|once|ut[ei])", re.I)
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)", re.I)
_SPELLED_WITH_VOWEL = re.compile(r"(?:[AEFHILMNORSX](?![a-z])|[AEFHILMNORSX]-)")
_IRREGULAR_ING = {
    "be": "being", "lie": "lying", "die": "dying", "tie": "tying", "see": "seeing", "flee": "fleeing", "dye": "dyeing",
    "ski": "skiing", "canoe": "canoeing", "shoe": "shoeing", "hoe": "hoeing", "picnic": "picnicking", "eye": "eyeing",
}  # fmt: skip
_FINAL_STRESS = words("""
    sit set run cut put get hit swim dig hug jog shop stop chop skip step sip clap wag nap trim plan pin dip drip
    drop flip grip hop hum jam knit lap mop nod pat pet pop rob rub slip snap spin split spot stir strum tap tip
    trot win wrap zip begin permit refer grab drag brag scrub let bat beg bob chat hem dot fit ship quit rip skid
    stab strip tug rap fan wet admit commit occur scan sun swap thin top whip
""")


def article(noun: str) -> str:
    """ "a" or "an", by the sound of the first letters."""
    if _SPELLED_WITH_VOWEL.match(noun):
        return "an"
    if _VOWEL_SOUND_EXCEPTIONS.match(noun):
        return "a"
    return "an" if noun[:1].lower() in "aeiou" or _SILENT_H.match(noun) else "a"


def looks_plural(noun: str) -> bool:
    """Whether a lower-case noun is plural by its form; words of one form for both count as singular."""
    if noun in nouns.PLURAL_ONLY or noun in nouns.IRREGULAR_PLURALS:
        return True
    if noun in nouns.SINGULAR_IN_S or len(noun) < 3 or noun in nouns.INVARIANT:
        return False
    return noun.endswith("s") and not noun.endswith(("ss", "us", "is"))


def ing(verb: str) -> str:
    """The present participle of a base form: ride -> riding, sit -> sitting, lie -> lying."""
    if verb in _IRREGULAR_ING:
        return _IRREGULAR_ING[verb]
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + verb[-1] + "ing" if verb in _FINAL_STRESS else verb + "ing"


def third_person(verb: str) -> str:
    """The form after he, she, it: have -> has, carry -> carries, say -> says."""
    if verb == "have":
        return "has"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + "es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else verb + "s"
