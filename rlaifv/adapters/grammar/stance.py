"""Does the answer stand by a clause, guess, or give an opinion?"""

from __future__ import annotations

from rlaifv.adapters.grammar.lexicon import modifiers, nouns, verbs, words
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.core.decomposition import SkipReason

_DOUBTFUL = words("possible likely unlikely probable unclear uncertain unknown hard difficult evident clear worth")
_ABSTRACT_ENDINGS = ("ness", "tion", "sion", "ance", "ence", "ity", "ism")
_CONDITIONAL = words("if unless whether though because since so")


def stance(parse: Parse, verb: Word) -> SkipReason | None:
    """HEDGE or OPINION if the clause of `verb` is one; None if it states a fact."""
    if _is_hedged(parse, verb):
        return SkipReason.HEDGE
    if _is_opinion(parse, verb):
        return SkipReason.OPINION
    return None


def is_hedged_noun(parse: Parse, noun: Word) -> bool:
    """ "possibly a dog", "what looks like a dog", "a cat or a dog"."""
    if any(w.lower in modifiers.HEDGES for w in parse.children(noun, "advmod", "amod")):
        return True
    return any(w.lower == "or" for w in parse.children(noun, "cc"))


def is_denied_noun(parse: Parse, noun: Word) -> bool:
    """ "no dogs or cats", "neither a dog nor a cat": denies all that it coordinates."""
    return any(w.lower in ("no", "neither", "nor") for w in parse.children(noun, "det", "preconj", "cc"))


def is_negated(parse: Parse, verb: Word) -> bool:
    """Whether the clause says that something is not so."""
    return any(w.dep == "neg" or w.lower in ("not", "never") for w in parse.children(verb))


def is_conditional(parse: Parse, verb: Word) -> bool:
    """Whether a subordinate clause gives a condition or reason rather than a scene."""
    return any(w.lower in _CONDITIONAL for w in parse.children(verb, "mark", "advmod"))


def _is_hedged(parse: Parse, verb: Word) -> bool:
    below = parse.children(verb)
    if any(w.dep == "aux" and w.lower in modifiers.MODALS for w in below):
        return not _only_says_seen(parse, verb)
    if any(w.dep == "advmod" and w.lower in modifiers.HEDGES for w in below):
        return True
    if any(w.dep in ("acomp", "attr", "oprd") and w.lower in _DOUBTFUL and w.dep != "attr" for w in below):
        return any(w.dep in ("ccomp", "xcomp", "nsubj") and w.lower in ("it", "what") for w in below) or any(
            w.dep in ("ccomp", "xcomp") for a in below if a.lower in _DOUBTFUL for w in (*parse.children(a), *below)
        )
    return _distances(parse, verb)


def _distances(parse: Parse, verb: Word) -> bool:
    """Verbs of seeming: "appears to be", but not "appears on the left"; "looks happy", but not "looks at"."""
    if verb.lemma not in verbs.SEEMING:
        return False
    if verb.lemma in ("look", "appear"):
        return any(
            w.dep in ("acomp", "xcomp", "oprd", "ccomp", "attr", "advcl", "dobj")
            or (w.dep in ("prep", "mark") and w.lower in ("like", "as"))
            for w in parse.children(verb)
        )
    return verb.lemma != "hint"


def _only_says_seen(parse: Parse, verb: Word) -> bool:
    """ "can be seen", "you can see": the modal adds no doubt."""
    if verb.lemma not in verbs.SEEING | {"observe", "find"}:
        return False
    return any(w.dep == "aux" and w.lower in ("can", "could", "may", "will") for w in parse.children(verb))


def _is_opinion(parse: Parse, verb: Word) -> bool:
    if verb.lemma in verbs.ALWAYS_OPINION:
        return True
    if verb.lemma not in verbs.SOMETIMES_OPINION:
        return False
    if verb.tag == "VBN":
        return False
    objects = parse.children(verb, "dobj")
    subjects = parse.children(verb, "nsubj", "nsubjpass")
    if any(is_animate(s.lower) for s in subjects):
        return bool(objects) and all(is_abstract(o.lower) for o in objects)
    return bool(objects)


def is_abstract(noun: str) -> bool:
    """Whether a lower-case noun names nothing that can be pointed at."""
    last = noun.split()[-1]
    if last in nouns.ABSTRACT:
        return True
    return len(last) > 7 and last.endswith(_ABSTRACT_ENDINGS) and last not in nouns.CONCRETE


def is_animate(noun: str) -> bool:
    """Whether a lower-case noun, singular or plural, is a person or an animal."""
    singular = nouns.singular(noun)
    return singular in nouns.PERSON or singular in nouns.ANIMAL or noun in ("people", "police", "cattle")
