"""The public client: what an answer makes up about a picture.

with Labeler("localhost:50051") as labeler:
    scored = labeler.score("photo.jpg", "A red car and two dogs.")
    for judged in scored.claims:
        print(judged.claim.text, judged.decision, judged.verdict.p_yes)
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

import grpc

from rlaifv.adapters.remote.connection import RETRYABLE, Patience, translate
from rlaifv.adapters.remote.labeler import AnswerToScore, RemoteLabeler
from rlaifv.api.v1.labeler_pb2 import RankAnswersRequest, RankAnswersResponse
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceStub
from rlaifv.core.answers import PAPER_RULE, RankedAnswer, ScoredAnswer, ScoringRule
from rlaifv.core.errors import BackendFailed, InvalidInput, NotFound
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import client_options
from rlaifv.rpc.convert import verdicts as convert
from rlaifv.rpc.convert.values import status_from_proto

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["AsyncLabeler", "Labeler", "ScoredAnswer", "ScoringRule", "read_image"]

ImageInput: TypeAlias = "str | PathLike[str] | bytes | Image | Picture"
"""A path, an http(s):// or file:// address that the service reads, encoded bytes, a PIL picture, or our own record."""

Res = TypeVar("Res")

_ITEM = "0"

PATIENCE_S: Final = 60.0
"""How long a service that is full or starting is asked again unless told otherwise, seconds."""


def read_image(image: ImageInput) -> Image:
    """The record for a picture; raises NotFound for a missing file and InvalidInput for what is no picture source."""
    if isinstance(image, Image):
        return image
    if isinstance(image, bytes):
        return Image.of(image)
    if isinstance(image, str) and image.startswith(("http://", "https://", "file://")):
        return Image(uri=image)
    if isinstance(image, str | PathLike):
        try:
            return Image.of(Path(image).read_bytes())
        except OSError as exc:
            raise NotFound(f"image = {str(image)!r} cannot be read: {exc.strerror}") from exc
    if hasattr(image, "save"):
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
        return Image.of(encoded.getvalue())
    raise InvalidInput.field("image", image, "must be a path, an address, bytes or a PIL picture")


class Labeler:
    """A labeler service at `target` ("host:port"), for code without asyncio; fit to be shared by threads.

    A service that is full or starting says how long to stay away; it is asked again, a little later than it says, for up to
    `patience_s` seconds. One that cannot be reached is an error at once unless `away_s` gives it time too.

    Every call raises the errors of `rlaifv.core.errors`: InvalidInput, TooLarge or NotFound for what you sent, Overloaded
    or Unavailable once the patience is over, DeadlineExceeded if one try takes longer than `timeout_s` seconds.
    """

    def __init__(
        self, target: str, *, timeout_s: float = 60.0, patience_s: float = PATIENCE_S, away_s: float = 0.0
    ) -> None:
        self._service = f"the labeler at {target}"
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._away_s = away_s
        self._channel = grpc.insecure_channel(target, options=client_options())
        self._stub = LabelerServiceStub(self._channel)

    def score(self, image: ImageInput, answer: str, prompt: str = "", rule: ScoringRule = PAPER_RULE) -> ScoredAnswer:
        """The answer's claims with their verdicts, and its score: at most 0, None where there is nothing to check."""
        request = convert.score_to_request(_ITEM, read_image(image), prompt, answer, rule)
        return convert.scored_from_response(self._patiently(lambda: self._one(self._stub.ScoreAnswers, request)))

    def rank(
        self, image: ImageInput, answers: Sequence[str], prompt: str = "", rule: ScoringRule = PAPER_RULE
    ) -> tuple[RankedAnswer, ...]:
        """2 to 256 answers to one prompt, best first."""
        request = convert.rank_to_request(read_image(image), prompt, answers, rule)
        return convert.ranking_from_response(self._patiently(lambda: self._ranked(request)))

    def ask(self, image: ImageInput, questions: Sequence[str]) -> tuple[Verdict, ...]:
        """A verdict for each yes/no question."""
        request = convert.questions_to_proto(Questions(id=_ITEM, image=read_image(image), questions=tuple(questions)))
        return convert.verdicts_from_response(self._patiently(lambda: self._one(self._stub.AskQuestions, request)))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _patiently(self, ask: Callable[[], Res]) -> Res:
        """The answer of one of the tries."""
        patience = Patience(self._patience_s, self._away_s)
        while True:
            try:
                return ask()
            except RETRYABLE as error:
                time.sleep(patience.next_pause_s(error))

    def _ranked(self, request: RankAnswersRequest) -> RankAnswersResponse:
        try:
            return self._stub.RankAnswers(request, timeout=self._timeout_s)
        except grpc.RpcError as exc:
            raise translate(exc, self._service) from exc

    def _one(self, method: Callable[..., Iterator[Res]], request: Any) -> Res:
        """The answer to one item; raises its error."""
        call: Any = method(iter([request]), timeout=self._timeout_s)
        try:
            response: Any = next(call, None)
        except grpc.RpcError as exc:
            raise translate(exc, self._service) from exc
        finally:
            call.cancel()
        if response is None:
            raise BackendFailed(f"{self._service} ended the call without an answer")
        error = status_from_proto(response.status)
        if error is not None:
            raise error
        return response  # type: ignore[no-any-return]


class AsyncLabeler:
    """The same for asyncio, with the same settings; make it and use it inside one event loop."""

    def __init__(
        self, target: str, *, timeout_s: float = 60.0, patience_s: float = PATIENCE_S, away_s: float = 0.0
    ) -> None:
        self._remote = RemoteLabeler(
            target, patience_s=patience_s, away_s=away_s, timeout_s=timeout_s, stall_s=timeout_s
        )

    async def score(
        self, image: ImageInput, answer: str, prompt: str = "", rule: ScoringRule = PAPER_RULE
    ) -> ScoredAnswer:
        """As `Labeler.score`."""
        item = AnswerToScore(id=_ITEM, image=read_image(image), answer=answer, prompt=prompt, rule=rule)
        return _only([outcome async for outcome in self._remote.score([item])])

    async def rank(
        self, image: ImageInput, answers: Sequence[str], prompt: str = "", rule: ScoringRule = PAPER_RULE
    ) -> tuple[RankedAnswer, ...]:
        """As `Labeler.rank`."""
        return await self._remote.rank(read_image(image), prompt, answers, rule)

    async def ask(self, image: ImageInput, questions: Sequence[str]) -> tuple[Verdict, ...]:
        """As `Labeler.ask`."""
        item = Questions(id=_ITEM, image=read_image(image), questions=tuple(questions))
        return _only([outcome async for outcome in self._remote.ask([item])])

    async def close(self) -> None:
        """Close the connection."""
        await self._remote.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _only(outcomes: list[Outcome[Res]]) -> Res:
    (outcome,) = outcomes
    return outcome.unwrap()
