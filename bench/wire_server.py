"""A labeler service whose verdicts cost nothing, so that what is measured is the API: `python -m bench.wire_server`.

All of it is the real service (interceptors, gate, streams, converters, metrics) but the model. Settings as services.labeler.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterator, Sequence

from prometheus_client import CollectorRegistry

from rlaifv.adapters.answer_scoring import AnswerScoring
from rlaifv.adapters.local_decomposer import LocalDecomposer, divider
from rlaifv.api.v1.labeler_pb2_grpc import add_LabelerServiceServicer_to_server
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.metrics import LabelerMetrics
from rlaifv.rpc.server import Ready, ServiceServer, serve
from services.labeler.__main__ import SERVICE
from services.labeler.servicer import LabelerServicer
from services.labeler.settings import LabelerSettings

VERSION = "0" * 64


class ChecksumLabeler:
    """A verdict is a checksum of the picture's digest and the question."""

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            yield Outcome(item_id=item.id, value=verdicts(item.image.sha256, item.questions))

    async def check(self) -> None:
        """It is never down."""


def verdicts(sha256: str, questions: Sequence[str]) -> tuple[Verdict, ...]:
    """What the service is to say."""
    return tuple(_verdict(int(sha256[:8], 16), question) for question in questions)


def _verdict(picture: int, question: str) -> Verdict:
    p_yes = zlib.crc32(question.encode(), picture) / 2**32
    return Verdict(question=question, p_yes=p_yes, p_no=1.0 - p_yes, labeler_version=VERSION)


async def load(settings: LabelerSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """As services/labeler/__main__.py, with a labeler of our own."""
    labeler = ChecksumLabeler()
    decomposer = LocalDecomposer(await divider("fake"))
    servicer = LabelerServicer(
        labeler,
        AnswerScoring(decomposer, labeler, lambda: VERSION),
        lambda: Checkpoint(uri="checksum", digest=VERSION),
        decomposer.version,
        server.metrics,
        LabelerMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_image_bytes=settings.max_image_bytes,
        max_answer_bytes=settings.max_answer_bytes,
    )
    return Ready(
        register=lambda grpc_server: add_LabelerServiceServicer_to_server(servicer, grpc_server),
        check=labeler.check,
        close=decomposer.close,
        fixed=True,
    )


async def start(settings: LabelerSettings) -> None:
    """Serve until SIGTERM."""
    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


if __name__ == "__main__":
    sys.exit(run_service("labeler", LabelerSettings, start))
