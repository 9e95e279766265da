"""The answer as a whole: which noun a pronoun stands for, what is already known, what was said before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from rlaifv.adapters.grammar.lexicon import nouns, words
from rlaifv.adapters.grammar.propositions import Form, Mention, Pronoun, Proposition, Reading, Reference
from rlaifv.adapters.grammar.stance import is_animate
from rlaifv.adapters.grammar.wording import definite, existence, is_existence, possessive, predication

_PLURAL = words("they them their these those both themselves")
_HE = words("he him his himself")
_SHE = words("she her hers herself")
_IT = words("it its itself")
_REMEMBERED_SENTENCES = 4


@dataclass(frozen=True, slots=True)
class Phrase:
    """A reference in words: definite, lower case."""

    text: str
    plural: bool


class Discourse:
    """Reads sentences in order; remembers the mentions of the last few and every noun named so far."""

    def __init__(self) -> None:
        self._recent: deque[tuple[Mention, ...]] = deque(maxlen=_REMEMBERED_SENTENCES)
        self._earlier: deque[tuple[Mention, ...]] = deque(maxlen=_REMEMBERED_SENTENCES)
        self._known: set[str] = set()
        self._short_names: set[str] = set()
        self._subjects: tuple[Pronoun, ...] = ()

    def start_passage(self) -> None:
        """A new paragraph or list item: "the table" need no longer be the coffee table of the last one."""
        self._short_names.clear()
        self._earlier.extendleft(reversed(self._recent))
        self._recent.clear()

    def word(self, reading: Reading) -> list[tuple[Proposition, str, str]]:
        """The claims of one sentence as (proposition, text, question); those about an unknown "it" are left out."""
        worded = []
        self._subjects = tuple(p.subject for p in reading.propositions if isinstance(p.subject, Pronoun))
        for proposition in reading.propositions:
            sentence = self._sentence(proposition, reading.mentions)
            if sentence is not None:
                worded.append((proposition, *sentence))
        if reading.mentions:
            self._recent.appendleft(tuple(self._with_owner(m, reading.mentions) for m in reading.mentions))
        present = [m for m in reading.mentions if not m.absent]
        claimed = {p.subject for p in reading.propositions if is_existence(p) and not p.negated}
        self._known |= {m.noun for number, m in enumerate(reading.mentions) if number in claimed}
        self._short_names |= {name for m in present for name in (m.noun, _short_name(m))}
        return worded

    def _sentence(self, proposition: Proposition, mentions: tuple[Mention, ...]) -> tuple[str, str] | None:
        if proposition.form is Form.EXISTS:
            return self._existence(proposition, mentions)
        subject = self._phrase(proposition.subject, mentions)
        if subject is None:
            return None
        about = self._mention(proposition.subject, mentions, None)
        rest = []
        for part in proposition.rest:
            phrase = Phrase(part, False) if isinstance(part, str) else self._phrase(part, mentions, about)
            if phrase is None:
                return None
            rest.append(phrase.text)
        return predication(proposition, subject.text, subject.plural, " ".join(rest))

    def _existence(self, proposition: Proposition, mentions: tuple[Mention, ...]) -> tuple[str, str] | None:
        subject = proposition.subject
        mention = mentions[subject] if isinstance(subject, int) else None
        if mention is None or (is_existence(proposition) and proposition.implied and self._is_known(mention)):
            return None
        quantity = " ".join(p for p in proposition.rest if isinstance(p, str))
        return existence(mention, quantity, proposition.negated)

    def _with_owner(self, mention: Mention, mentions: tuple[Mention, ...]) -> Mention:
        """The mention as later sentences need it: they do not know its neighbours by number."""
        return replace(mention, possessor=None, owner=self._owner(mention.possessor, mentions, None))

    def _is_known(self, mention: Mention) -> bool:
        return mention.noun in self._known or mention.noun in self._short_names

    def _phrase(
        self, reference: Reference, mentions: tuple[Mention, ...], subject: Mention | None = None
    ) -> Phrase | None:
        mention = self._mention(reference, mentions, subject)
        if mention is None:
            return None
        if isinstance(reference, Pronoun) and reference.text == "both":
            return Phrase(f"both {mention.noun}", True)
        owner = mention.owner
        if mention.possessor != reference:
            owner = owner or self._owner(mention.possessor, mentions, subject)
        return Phrase(definite(mention, owner), mention.plural)

    def _owner(self, owner: Reference | None, mentions: tuple[Mention, ...], subject: Mention | None) -> str:
        """ "the man's"; "his" where the man is the subject of the claim; "" if nobody knows whose."""
        if owner is None:
            return ""
        mention = self._mention(owner, mentions, None)
        if isinstance(owner, Pronoun) and mention is not None and mention is subject:
            return owner.text
        phrase = self._phrase(owner, mentions, subject)
        return possessive(phrase.text) if phrase is not None else ""

    def _mention(self, reference: Reference, mentions: tuple[Mention, ...], other: Mention | None) -> Mention | None:
        return mentions[reference] if isinstance(reference, int) else self._antecedent(reference, mentions, other)

    def _antecedent(self, pronoun: Pronoun, mentions: tuple[Mention, ...], other: Mention | None) -> Mention | None:
        """The sentence's own earlier nouns first, then what earlier sentences were about, then anything in them."""
        same = next((p for p in self._subjects if p.at < pronoun.at and _alike(p.text, pronoun.text)), None)
        if same is not None:
            return self._antecedent(same, mentions, None)
        earlier = tuple(m for m in mentions if m.at < pronoun.at and m is not other)
        found = _best(pronoun.text, earlier)
        if found is not None:
            return found
        for remembered in (self._recent, self._earlier):
            prominent = (tuple(m for m in sentence if m.prominent) for sentence in remembered)
            for candidates in (*prominent, *remembered):
                found = _best(pronoun.text, candidates)
                if found is not None:
                    return found
        return None


def _alike(one: str, other: str) -> bool:
    """ "it" and "its", "she" and "her"."""
    return any(one in group and other in group for group in (_PLURAL, _HE, _SHE, _IT))


def _best(pronoun: str, candidates: tuple[Mention, ...]) -> Mention | None:
    fitting = [m for m in candidates if not m.absent and not m.fixed and _fits(pronoun, m)]
    return max(fitting, key=lambda m: (_gender_known(pronoun, m), m.prominent, -m.at), default=None)


def _short_name(mention: Mention) -> str:
    """What "the ..." may call it later: the coffee table "the table", the slice of pizza "the slice"."""
    return mention.noun.split(" of ")[0].split()[-1]


def _fits(pronoun: str, mention: Mention) -> bool:
    if pronoun in _PLURAL:
        return mention.plural or mention.head in nouns.GROUPS
    if mention.plural:
        return False
    if pronoun in _HE:
        return _may_be(mention, nouns.FEMALE)
    if pronoun in _SHE:
        return _may_be(mention, nouns.MALE)
    return mention.head not in nouns.PERSON and not mention.proper


def _may_be(mention: Mention, opposite: frozenset[str]) -> bool:
    last = mention.head.split()[-1]
    return last not in opposite and (is_animate(last) or mention.proper)


def _gender_known(pronoun: str, mention: Mention) -> bool:
    last = mention.head.split()[-1]
    return (pronoun in _HE and last in nouns.MALE) or (pronoun in _SHE and last in nouns.FEMALE)
