"""`rlaifv score` and `rlaifv rank`: what is made up in an answer about a picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rlaifv.cli.output import Json, emit, err, faults_reported, out
from rlaifv.core.errors import DeadlineExceeded, InvalidInput, NotFound

if TYPE_CHECKING:
    from rlaifv.adapters.remote.labeler import RemoteLabeler
    from rlaifv.core.answers import RankedAnswer, ScoredAnswer, ScoringRule
    from rlaifv.core.images import Image

T = TypeVar("T")

DEFAULT_MODEL = Path("demo/checkpoints/stronger")

ImageOption = Annotated[
    Path, typer.Option("--image", metavar="FILE", help="The picture (PNG, JPEG, WebP, GIF, BMP, TIFF).")
]
Prompt = Annotated[str, typer.Option(help="The question that was answered.")]
Endpoint = Annotated[
    str | None,
    typer.Option(
        envvar="RLAIFV_LABELER", metavar="HOST:PORT", help="A labeler service; default: start one for this call."
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="FOLDER", help=f"Model for a labeler started here.  \\[default: {DEFAULT_MODEL}]")
]
Threshold = Annotated[float, typer.Option(help="Least share p_yes / (p_yes + p_no) that is accepted.")]
MinMass = Annotated[float, typer.Option(help="Least p_yes + p_no for a verdict to count.")]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest time to wait for the scores.")]


@faults_reported
def score(
    image: ImageOption,
    answer: Annotated[
        str, typer.Option(metavar="TEXT|-|@FILE", help="The answer: text, - for standard input, or @file.")
    ],
    prompt: Prompt = "",
    endpoint: Endpoint = None,
    model: Model = None,
    threshold: Threshold = 0.5,
    min_mass: MinMass = 0.0,
    timeout: Timeout = 120.0,
    as_json: Json = False,
) -> None:
    """Find what is made up in an answer about a picture.

    The answer is divided into claims, a labeler model looks at the picture and says yes or no to each. The score is minus the
    number of rejected claims, so 0 is best. Green: accepted; red and underlined: rejected; yellow: neither.

    [dim]Examples:[/dim]

      rlaifv score --image street.jpg --answer "Two dogs sit next to a red car."

      rlaifv score --image street.jpg --answer @caption.txt --endpoint localhost:50051 --json
    """
    from rlaifv.cli.claims_view import claim_table, coloured, score_in_words, score_to_json
    from rlaifv.cli.inputs import read_answer, read_image

    rule = _rule(threshold, min_mass)
    picture, text = read_image(image), read_answer(answer)

    async def ask(labeler: RemoteLabeler) -> ScoredAnswer:
        return await _score(labeler, picture, prompt, text, rule)

    scored = asyncio.run(_with_labeler(endpoint, model, timeout, as_json, ask))
    if as_json:
        emit(score_to_json(scored))
        return
    console = out()
    console.print(coloured(text, scored.claims))
    if scored.claims:
        console.print(claim_table(scored.claims))
    console.print(score_in_words(scored), style="bold")


@faults_reported
def rank(
    image: ImageOption,
    answers: Annotated[
        list[str], typer.Option("--answer", metavar="TEXT|-|@FILE", help="An answer; give two or more of them.")
    ],
    prompt: Prompt = "",
    endpoint: Endpoint = None,
    model: Model = None,
    threshold: Threshold = 0.5,
    min_mass: MinMass = 0.0,
    timeout: Timeout = 120.0,
    as_json: Json = False,
) -> None:
    """Order answers about one picture, the most trustworthy first.

    [dim]Example:[/dim]

      rlaifv rank --image street.jpg --answer "A red car." --answer "A blue car and a dog."
    """
    from rlaifv.cli.claims_view import coloured, score_in_words, score_to_json
    from rlaifv.cli.inputs import read_answer, read_image

    if not 2 <= len(answers) <= 256:
        raise InvalidInput.field("--answer", f"{len(answers)} answers", "give 2 to 256 of them")
    if answers.count("-") > 1:
        raise InvalidInput("--answer = '-': standard input can be read once only")
    rule = _rule(threshold, min_mass)
    picture, texts = read_image(image), [read_answer(text) for text in answers]

    async def ask(labeler: RemoteLabeler) -> tuple[RankedAnswer, ...]:
        return await labeler.rank(picture, prompt, texts, rule)

    ranking = asyncio.run(_with_labeler(endpoint, model, timeout, as_json, ask))
    if as_json:
        emit({"ranking": [{"index": r.index, "answer": texts[r.index], **score_to_json(r.answer)} for r in ranking]})
        return
    console = out()
    for place, ranked in enumerate(ranking, 1):
        console.print(f"{place}. answer {ranked.index + 1}: {score_in_words(ranked.answer)}", style="bold")
        console.print(coloured(texts[ranked.index], ranked.answer.claims))
        console.print()


def _rule(threshold: float, min_mass: float) -> ScoringRule:
    from rlaifv.core.answers import ScoringRule
    from rlaifv.core.verdicts import VerdictRule

    return ScoringRule(verdict=VerdictRule(threshold=threshold, min_mass=min_mass))


async def _score(labeler: RemoteLabeler, image: Image, prompt: str, answer: str, rule: ScoringRule) -> ScoredAnswer:
    from rlaifv.adapters.remote.labeler import AnswerToScore

    item = AnswerToScore(id="answer", image=image, prompt=prompt, answer=answer, rule=rule)
    outcomes = [outcome async for outcome in labeler.score([item])]
    return outcomes[0].unwrap()


async def _with_labeler(
    endpoint: str | None, model: str | None, timeout: float, quiet: bool, ask: Callable[[RemoteLabeler], Awaitable[T]]
) -> T:
    from rlaifv.adapters.remote.labeler import RemoteLabeler

    if endpoint is not None and model is not None:
        raise InvalidInput("--endpoint and --model: give one of them, a service has its model already")
    async with _labeler_target(endpoint, model, quiet) as target:
        # A service that is down is reported soon: nobody wants to wait two minutes for a typing mistake.
        labeler = RemoteLabeler(target, patience_s=timeout, away_s=min(3.0, timeout), timeout_s=timeout)
        try:
            async with asyncio.timeout(timeout):
                return await ask(labeler)
        except TimeoutError as exc:
            remedy = "allow more with --timeout"
            raise DeadlineExceeded(f"the labeler at {target} did not answer within {timeout:g} s; {remedy}") from exc
        finally:
            await labeler.close()


@asynccontextmanager
async def _labeler_target(endpoint: str | None, model: str | None, quiet: bool) -> AsyncIterator[str]:
    if endpoint is not None:
        yield endpoint
        return
    import tempfile

    from rlaifv.adapters.local_services import LocalServices
    from rlaifv.cli.local_stack import Stack
    from rlaifv.cli.logs import log_warnings_to_stderr

    log_warnings_to_stderr()
    folder = _model_folder(model)
    if not quiet:
        err().print(f"starting a labeler with {folder}", style="dim", soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="rlaifv-") as scratch:
        stack = Stack(runs=Path(scratch), labeler=folder)
        async with LocalServices(stack.services(["labeler"]), Path(scratch)) as local:
            yield local.endpoints["labeler"]


def _model_folder(model: str | None) -> str:
    from rlaifv.cli.inputs import check_model

    if model is not None:
        return check_model(model)
    beside_package = Path(__file__).parents[2] / DEFAULT_MODEL
    for folder in (DEFAULT_MODEL, beside_package):
        if folder.is_dir():
            return check_model(str(folder))
    raise NotFound(
        f"--model: the demo's labeler is not here ({DEFAULT_MODEL}); name a model folder, or a service with --endpoint"
    )
