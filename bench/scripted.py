"""Policy, decomposer and labeler that compute next to nothing, so that what is left is the orchestrator's own time.

An answer is a choice of sentences by its seed; a verdict is a checksum. `Script` knows both without any service, which is what a
finished run is compared with. The processor time that the backends themselves take is added up in `own_s`.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from itertools import combinations
from time import thread_time

from bench.scenes import statement
from rlaifv.adapters.fake.folders import BUILT_IN, read_checkpoint
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.outcomes import Outcome
from rlaifv.core.seeds import candidate_seed
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Answer, Generation, Questions

_SENTENCES = 4093
"""A prime: steps through the sentences never meet before they have been at all of them."""

_TOKENS_PER_CLAIM = 12
_REJECTED_IN = 4
_LABELER = hashlib.sha256(b"scripted").hexdigest()
"""As long as a real version is."""


class Script:
    """What is said: `claims` sentences an answer, chosen by its seed; every fourth sentence is made up."""

    def __init__(self, claims: int) -> None:
        self.claims = claims
        rng = random.Random("script")
        questions: dict[str, str] = {}
        while len(questions) < _SENTENCES:
            text, question = statement(rng)
            questions[text] = question
        self.questions = questions
        self._texts = tuple(questions)

    def answer(self, seed: int) -> str:
        """The same seed, the same sentences, none twice."""
        first, step = seed % _SENTENCES, 1 + seed // _SENTENCES % (_SENTENCES - 1)
        return " ".join(self._texts[(first + number * step) % _SENTENCES] for number in range(self.claims))

    def score(self, answer: str) -> float:
        """Minus the sentences that are made up."""
        sentences = [sentence + "." for sentence in answer.rstrip(".").split(". ")]
        return -float(sum(rejected(self.questions[sentence]) for sentence in sentences))

    def preferences(self, prompt_id: str, run_seed: int, iteration: int, candidates: int) -> set[tuple[str, str]]:
        """All (chosen, rejected) of a prompt, however many a run may keep."""
        seeds = (candidate_seed(run_seed, prompt_id, iteration, index) for index in range(candidates))
        answers = dict.fromkeys(self.answer(seed) for seed in seeds)
        scored = [(self.score(answer), answer) for answer in answers]
        pairs = (sorted(pair, reverse=True) for pair in combinations(scored, 2))
        return {(better, worse) for (high, better), (low, worse) in pairs if high > low}

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """As many as such an answer has; the same for all, for nobody looks at them."""
        return tuple(range(_TOKENS_PER_CLAIM * self.claims))

    @cached_property
    def logprobs(self) -> tuple[float, ...]:
        return tuple(-0.25 for _ in self.tokens)


def rejected(question: str) -> bool:
    """Whether the labeler says no."""
    return zlib.crc32(question.encode()) % _REJECTED_IN == 0


class Clock:
    """Processor time that was spent inside, seconds in `own_s`."""

    own_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        begin = thread_time()
        try:
            yield
        finally:
            self.own_s += thread_time() - begin


class ScriptedPolicy:
    """Answers of the script; fake checkpoints name its versions."""

    def __init__(self, script: Script, clock: Clock) -> None:
        self._script = script
        self._clock = clock
        self._checkpoint = read_checkpoint(Checkpoint(uri=BUILT_IN, digest=""))

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        for item in items:
            with self._clock.running():
                candidates = self._candidates(item)
            yield Outcome(item_id=item.prompt.id, value=candidates)

    async def load(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = read_checkpoint(checkpoint)

    async def version(self) -> str:
        return self._checkpoint.digest

    def _candidates(self, item: Generation) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                prompt_id=item.prompt.id,
                index=index,
                seed=seed,
                text=self._script.answer(seed),
                finish_reason=FinishReason.STOP,
                policy_version=self._checkpoint.digest,
                token_ids=self._script.tokens,
                token_logprobs=self._script.logprobs,
            )
            for index, seed in enumerate(item.seeds)
        )


class ScriptedDecomposer:
    """A claim for each sentence."""

    def __init__(self, script: Script, clock: Clock) -> None:
        self._questions = script.questions
        self._clock = clock

    async def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        # All at once, for looking at the clock takes as long as an answer.
        with self._clock.running():
            outcomes = [Outcome(item_id=answer.id, value=self._divide(answer.text)) for answer in answers]
        for outcome in outcomes:
            yield outcome

    def _divide(self, text: str) -> Decomposition:
        claims: list[Claim] = []
        start = 0
        while start < len(text):
            end = text.index(".", start) + 1
            sentence = text[start:end]
            question = self._questions[sentence]
            claims.append(Claim(text=sentence, type=ClaimType.OBJECT, question=question, start=start, end=end))
            start = end + 1
        return Decomposition(claims=tuple(claims), version="scripted/1")


class ScriptedLabeler:
    """Says no to what is made up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            with self._clock.running():
                verdicts = tuple(map(_verdict, item.questions))
            yield Outcome(item_id=item.id, value=verdicts)


def _verdict(question: str) -> Verdict:
    p_yes = 0.25 if rejected(question) else 0.75
    return Verdict(question=question, p_yes=p_yes, p_no=1.0 - p_yes, labeler_version=_LABELER)
