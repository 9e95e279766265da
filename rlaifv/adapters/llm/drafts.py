"""The division of one window while it is made: what of the model's replies holds, what is asked again, what is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from rlaifv.adapters.llm.prompts import SKIP_REASONS, Fault
from rlaifv.adapters.llm.questions import REMEDIES, fault
from rlaifv.adapters.llm.quotes import QuotedText, folded
from rlaifv.adapters.llm.replies import ProposedClaim, ProposedSkip, Reply
from rlaifv.adapters.llm.windows import Span, Window
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition, LeftOutClaims, LeftOutReason, SkippedText, SkipReason

_PASSED_OVER: Final = 'you said nothing about these words of "text": divide them, or put them into "skipped"'
_TYPES: Final = {kind.value: kind for kind in ClaimType}
_REASONS: Final = {reason.value: reason for reason in SKIP_REASONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """A claim that broke a rule."""

    proposed: ProposedClaim
    reason: LeftOutReason


def canonical(text: str) -> str:
    """What two wordings of one claim have in common: all but case, accents, spaces and the stop at the end."""
    return folded(text).rstrip(" .!")


class Draft:
    """Takes replies about `window` one after the other. All places are relative to the window's text.

    Every sentence that the window owns ends up in a claim or in a skipped stretch. `bare_digits` says that digits without a
    letter are worth asking about, as the answer "3" to a question is.
    """

    def __init__(self, window: Window, *, bare_digits: bool) -> None:
        self._window = window
        self._text = QuotedText(window.text)
        self._bare_digits = bare_digits
        self._claims: dict[str, Claim] = {}
        self._questions: set[str] = set()
        self._skipped: list[SkippedText] = []
        self._touched: list[Span] = []
        self._broken: list[_Broken] = []
        self._duplicates = 0
        self._replies = 0

    @property
    def has_content(self) -> bool:
        """Whether there is anything to ask the model about."""
        return any(self._is_readable(piece) for piece in self._window.pieces)

    def take(self, reply: Reply) -> None:
        """Put what holds to the rest. What was broken and is not in this reply stays broken."""
        before, self._broken = self._broken, []
        after = self._window.own
        for proposed in reply.claims:
            after = self._take_claim(proposed, after)
        for skip in reply.skipped:
            self._take_skip(skip)
        again = {name for claim in reply.claims for name in _names(claim)}
        again |= {folded(skip.quote) for skip in reply.skipped}
        self._broken += [broken for broken in before if not again & _names(broken.proposed)]
        self._replies += 1

    def faults(self) -> list[Fault]:
        """What the model must be asked about again."""
        broken = [
            Fault(about=entry.proposed.text or entry.proposed.quote, remedy=REMEDIES[entry.reason])
            for entry in self._broken
        ]
        return broken + [Fault(about=self._words(piece), remedy=_PASSED_OVER) for piece in self._passed_over()]

    def finish(self) -> Decomposition:
        """Everything, in the order of the text; what nobody said anything about is skipped."""
        claims = sorted(self._claims.values(), key=lambda claim: (claim.start, claim.end))
        skipped = [skip for skip in self._skipped if not any(_within(claim, skip) for claim in claims)]
        for piece in self._untouched():
            start, end = self._trimmed(piece)
            reason = SkipReason.UNREAD if self._is_readable(piece) else SkipReason.NO_CONTENT
            if start < end:
                skipped.append(SkippedText(start=start, end=end, reason=reason))
        counts = Counter(entry.reason for entry in self._broken)
        return Decomposition(
            claims=tuple(claims),
            skipped=tuple(sorted(skipped, key=lambda skip: skip.start)),
            duplicates=self._duplicates,
            left_out=tuple(
                LeftOutClaims(reason=reason, count=counts[reason]) for reason in LeftOutReason if counts[reason]
            ),
        )

    def _take_claim(self, proposed: ProposedClaim, after: int) -> int:
        """Take or refuse one claim; gives where to look for the next one from."""
        place = self._text.find(proposed.quote, own=self._window.own, after=after)
        if place is None and self._text.holds(proposed.quote):
            return after  # the window before owns those words, and has divided them
        self._touch(proposed.quote)
        key, question = canonical(proposed.text), folded(proposed.question)
        reason = self._fault(proposed, place)
        if reason is None and key not in self._claims and question in self._questions:
            reason = LeftOutReason.SHARED_QUESTION
        if reason is not None or place is None:
            self._broken.append(_Broken(proposed=proposed, reason=reason or LeftOutReason.QUOTE_NOT_FOUND))
        elif key in self._claims:
            self._duplicates += not self._replies  # in a later reply it was only listed once more
        else:
            self._questions.add(question)
            self._claims[key] = Claim(
                text=proposed.text,
                type=_TYPES[proposed.type.lower()],
                question=proposed.question,
                start=place[0],
                end=place[1],
            )
        return place[0] if place else after

    def _fault(self, proposed: ProposedClaim, place: Span | None) -> LeftOutReason | None:
        if not (proposed.quote.strip() and canonical(proposed.text) and proposed.type.lower() in _TYPES):
            return LeftOutReason.INCOMPLETE
        if place is None:
            return LeftOutReason.QUOTE_NOT_FOUND
        return fault(proposed.text, proposed.question)

    def _take_skip(self, skip: ProposedSkip) -> None:
        """Take a stretch wherever it is written; what is not in the text or has no reason is asked about as passed over."""
        reason = _REASONS.get(skip.reason.lower())
        if reason is None:
            return
        self._touch(skip.quote)
        for place in self._text.places(skip.quote, self._window.own):
            start, end = max(place[0], self._window.own), place[1]
            if not any(start < known.end and known.start < end for known in self._skipped):
                self._skipped.append(SkippedText(start=start, end=end, reason=reason))

    def _touch(self, quote: str) -> None:
        """Something was said about these words, wherever they are written."""
        self._touched += self._text.places(quote, self._window.own)

    def _untouched(self) -> list[Span]:
        return [
            piece
            for piece in self._window.pieces
            if not any(start < piece[1] and piece[0] < end for start, end in self._touched)
        ]

    def _passed_over(self) -> list[Span]:
        return [piece for piece in self._untouched() if self._is_readable(piece)]

    def _is_readable(self, piece: Span) -> bool:
        words = self._words(piece)
        return any(c.isalpha() or (self._bare_digits and c.isdigit()) for c in words)

    def _words(self, piece: Span) -> str:
        start, end = self._trimmed(piece)
        return self._window.text[start:end]

    def _trimmed(self, piece: Span) -> Span:
        written = self._window.text[piece[0] : piece[1]]
        start = piece[0] + len(written) - len(written.lstrip())
        return start, max(start, piece[0] + len(written.rstrip()))


def _names(proposed: ProposedClaim) -> set[str]:
    """What a claim is recognised by in a later reply."""
    return {folded(proposed.quote), canonical(proposed.text)} - {""} or {""}


def _within(claim: Claim, skip: SkippedText) -> bool:
    return skip.start <= claim.start and claim.end <= skip.end
