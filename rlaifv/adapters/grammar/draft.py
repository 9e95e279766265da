"""The sheet on which one sentence's reading is collected, shared by the readers of phrases, places and clauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.propositions import Form, Mention, Proposition, Reading, Reference
from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason

_BEFORE_NOUN = ("det", "nummod", "amod", "compound", "nmod", "poss", "predet", "quantmod")


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a clause or place is about: its head noun, and the first word of its noun phrase."""

    reference: Reference
    word: Word
    first: Word

    @property
    def words(self) -> tuple[Word, Word]:
        """Both ends of the noun phrase up to its head."""
        return self.first, self.word


@dataclass(frozen=True, slots=True)
class Pending:
    """Something under a noun phrase still to be read: a clause ("riding a horse") or a place ("on the left")."""

    word: Word
    subjects: tuple[Subject, ...]


@dataclass
class Draft:
    """Mentions and propositions so far. `seen` maps the words of noun phrases already read to their references."""

    parse: Parse
    mentions: list[Mention] = field(default_factory=list)
    propositions: list[Proposition] = field(default_factory=list)
    noticed: list[SkipReason] = field(default_factory=list)
    seen: dict[int, Reference | None] = field(default_factory=dict)
    clauses: deque[Pending] = field(default_factory=deque)
    places: deque[Pending] = field(default_factory=deque)

    def mention(self, mention: Mention) -> int:
        """Register a noun phrase and return its number."""
        self.mentions.append(mention)
        return len(self.mentions) - 1

    def subject(self, reference: Reference, head: Word) -> Subject:
        """A noun phrase as a subject; its wording starts at its determiner or first property."""
        return Subject(reference, head, self.first(head))

    def first(self, head: Word) -> Word:
        """The first word of a noun phrase."""
        before = [w for w in self.parse.children(head, *_BEFORE_NOUN) if w.index < head.index]
        owners = [w for owner in before if owner.dep == "poss" for w in self.parse.below(owner)]
        return min([head, *before, *owners], key=lambda w: w.index)

    def keep_known(self, mark: int) -> None:
        """Of what was stated since there were `mark` propositions, keep only what a denial presupposes."""
        self.propositions[mark:] = [p for p in self.propositions[mark:] if p.implied]

    def promote(self, subjects: Iterable[Subject]) -> None:
        """Make these what the sentence is about."""
        for subject in subjects:
            if isinstance(subject.reference, int):
                self.mentions[subject.reference] = replace(self.mentions[subject.reference], prominent=True)

    def state(
        self,
        kind: ClaimType,
        form: Form,
        subject: Reference,
        words: Iterable[Word],
        *,
        rest: tuple[str | Reference, ...] = (),
        verb: str = "",
        negated: bool = False,
        implied: bool = False,
    ) -> None:
        """Add a proposition; its span reaches from the first to the last of `words`."""
        covered = list(words)
        self.propositions.append(
            Proposition(
                type=kind, form=form, subject=subject, verb=verb, rest=rest, negated=negated, implied=implied,
                start=min(w.start for w in covered), end=max(w.end for w in covered),
            )
        )  # fmt: skip

    def reading(self) -> Reading:
        """What has been collected, propositions in reading order."""
        ordered = sorted(self.propositions, key=lambda p: (p.start, p.end))
        reason = next((r for r in (SkipReason.HEDGE, SkipReason.OPINION) if r in self.noticed), SkipReason.NO_CONTENT)
        return Reading(tuple(self.mentions), tuple(ordered), reason)
