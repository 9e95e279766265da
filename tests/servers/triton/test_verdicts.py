"""Verdicts of a real Triton: the bits of the embedded labeler, whatever is asked beside, and each bad request for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import aio as tritonclient
from tritonclient.utils import InferenceServerException

from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.images import decode
from rlaifv.adapters.remote.labeler import RemoteLabeler
from rlaifv.adapters.triton.labeler import TritonLabeler, TritonOptions
from rlaifv.adapters.triton.model import tensors_sha256
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from services.labeler.settings import LabelerSettings
from tests.servers.triton.launched import Launched, in_own_loop
from tests.serving import collected, eventually, serving
from tests.tiny_llava import picture

pytestmark = pytest.mark.servers

STRONGER = Path(__file__).parents[3] / "demo" / "checkpoints" / "stronger"
PICTURES = [
    picture((200, 30, 30)),
    picture((30, 200, 30), (120, 80), "JPEG"),
    picture((30, 30, 200), (31, 77), "WEBP"),
    picture((250, 250, 250), (224, 224)),
]
QUESTIONS = (
    "Is there a red car?",
    "Are there two dogs on the left of the green cup, and is one of them smaller than the blue balloon?",
    "Is the cat on the table?",
    "¿Hay un coche? 🚗",
    "Is there an apple?",
)


@pytest.fixture(scope="module")
def stronger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    yield from in_own_loop(STRONGER, tmp_path_factory.mktemp("triton-stronger"))


@pytest.fixture
async def bare(triton: Launched) -> AsyncIterator[TritonLabeler]:
    """The adapter alone, without a service around it."""
    labeler = TritonLabeler(triton.target, options=TritonOptions(patience_s=2, max_in_flight=128))
    yield labeler
    await labeler.close()


@pytest.fixture
async def client(triton: Launched) -> AsyncIterator[Any]:
    """NVIDIA's own client, as somebody else's program would use the model."""
    async with tritonclient.InferenceServerClient(triton.target) as found:
        yield found


def inputs(image: bytes, questions: list[bytes]) -> list[Any]:
    pixels = tritonclient.InferInput("image", [1, len(image)], "UINT8")
    pixels.set_data_from_numpy(np.frombuffer(image, dtype=np.uint8).reshape(1, -1))
    asked = tritonclient.InferInput("questions", [1, len(questions)], "BYTES")
    asked.set_data_from_numpy(np.array(questions, dtype=np.object_).reshape(1, -1))
    return [pixels, asked]


def items() -> list[Questions]:
    """Every picture with all questions, with one, and with some in another order."""
    chosen = {"all": QUESTIONS, "one": QUESTIONS[1:2], "some": (QUESTIONS[3], QUESTIONS[0], QUESTIONS[3])}
    return [
        Questions(id=f"{at}-{name}", image=Image.of(data), questions=questions)
        for at, data in enumerate(PICTURES)
        for name, questions in chosen.items()
    ]


async def embedded(model: Path) -> dict[str, tuple[Any, ...]]:
    """What transformers in this process says, asked one after the other."""
    labeler = HuggingFaceLabeler.open(Checkpoint(uri=str(model), digest=""))
    try:
        return {one.id: (await collected(labeler.ask([one])))[one.id].unwrap() for one in items()}
    finally:
        labeler.close()


@pytest.mark.parametrize("which", ["tiny", "stronger"])
async def test_verdicts_have_the_bits_of_the_embedded_labeler(which: str, triton: Launched, stronger: Launched) -> None:
    triton = triton if which == "tiny" else stronger
    expected = await embedded(triton.model)
    async with serving(LabelerSettings(backend="triton", triton_target=triton.target, decomposer="fake")) as server:
        remote = RemoteLabeler(server.target)
        for _ in range(3):
            # In company: several copies of every item at once, so that batches form as they like.
            crowd = [replace(one, id=f"{one.id}/{copy}") for copy in range(4) for one in items()]
            found = await collected(remote.ask(crowd))
            for name, outcome in found.items():
                assert outcome.unwrap() == expected[name.rpartition("/")[0]]
        versions = await remote.versions()
        await remote.close()
    assert versions.checkpoint.digest == expected["0-all"][0].labeler_version
    assert versions.checkpoint.uri == f"triton://{triton.target}/labeler"


async def test_the_vision_tower_gets_the_pixels_that_it_gets_everywhere(triton: Launched, client: Any) -> None:
    chat = load_model(Checkpoint(uri=str(triton.model), digest="")).chat
    outputs = [tritonclient.InferRequestedOutput("pixels_sha256")]
    for data in PICTURES:
        found = await client.infer("labeler", inputs(data, [b"Is it?"]), outputs=outputs)
        assert found.as_numpy("pixels_sha256").reshape(-1)[0].decode() == tensors_sha256(
            chat.prepare(decode(data)).inputs
        )


async def test_the_mass_is_there_for_clients_of_other_kinds(client: Any) -> None:
    found = await client.infer("labeler", inputs(PICTURES[0], [b"Is it?", b"Is there a cat?"]))
    p_yes, p_no, mass = (found.as_numpy(name) for name in ("p_yes", "p_no", "mass"))
    assert p_yes.shape == p_no.shape == mass.shape == (1, 2)
    assert np.array_equal(mass, p_yes + p_no)
    assert (mass > 0).all()
    assert (mass < 1).all()


async def test_bad_requests_fail_alone_and_say_why(bare: TritonLabeler) -> None:
    red = Image.of(PICTURES[0])
    truncated = Image.of(PICTURES[1][:-200])
    asked = {
        "good": Questions(id="good", image=red, questions=QUESTIONS),
        "truncated": Questions(id="truncated", image=truncated, questions=QUESTIONS),
        "no text": Questions(id="no text", image=red, questions=("Is it red?", " <image> ")),
        "long": Questions(id="long", image=red, questions=("word " * 4000,)),
        "also good": Questions(id="also good", image=red, questions=("Is it red?",)),
    }
    found = await collected(bare.ask(list(asked.values())))
    for name, words in (("truncated", "truncated or damaged"), ("no text", "no text"), ("long", "limit is 256")):
        error = found[name].error
        assert isinstance(error, InvalidInput), name
        assert words in error.message
    assert len(found["good"].unwrap()) == 5
    assert len(found["also good"].unwrap()) == 1


@pytest.mark.parametrize(
    ("image", "questions", "words"),
    [
        (b"no picture", [b"Is it?"], "InvalidInput: image"),
        (b"", [b"Is it?"], "InvalidInput: image.data has 0 bytes"),
        (PICTURES[0], [b"\xff\xfe"], "InvalidInput: questions"),
        (PICTURES[0], [b""], "InvalidInput: question"),
    ],
)
async def test_requests_that_only_others_send_are_refused_by_the_model(
    client: Any, image: bytes, questions: list[bytes], words: str
) -> None:
    with pytest.raises(InferenceServerException, match=words) as caught:
        await client.infer("labeler", inputs(image, questions))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert (await client.infer("labeler", inputs(PICTURES[0], [b"Is it?"]))).as_numpy("p_yes").shape == (1, 1)


async def test_a_picture_of_20_mib_is_answered_and_a_larger_request_is_not_sent(bare: TritonLabeler) -> None:
    large = PICTURES[0] + bytes(20 * 2**20 - len(PICTURES[0]))
    question = ("Is there a red car?",)
    found = await collected(
        bare.ask(
            [
                Questions(id="large", image=Image.of(large), questions=question),
                Questions(id="small", image=Image.of(PICTURES[0]), questions=question),
                Questions(id="over", image=Image.of(large + b"0"), questions=question),
            ]
        )
    )
    assert found["large"].unwrap() == found["small"].unwrap()
    assert isinstance(found["over"].error, TooLarge)


async def statistics(client: Any) -> tuple[int, int, int]:
    """(requests answered, batches computed, requests that failed) since the start."""
    (model,) = (await client.get_inference_statistics("labeler")).model_stats
    return model.inference_count, model.execution_count, model.inference_stats.fail.count


async def test_concurrent_clients_are_batched_and_each_gets_its_own(
    triton: Launched, labeler: RemoteLabeler, client: Any
) -> None:
    """300 callers on 12 pictures, equal and different questions: right answers, fewer batches than requests."""
    pictures = [Image.of(picture((n * 20, 255 - n * 20, 90))) for n in range(12)]
    asked = [
        Questions(
            id=str(n),
            image=pictures[n % 12],
            questions=tuple(QUESTIONS[(n + k) % 5] for k in range(n % 4 + 1)),
        )
        for n in range(300)
    ]
    local = HuggingFaceLabeler.open(Checkpoint(uri=str(triton.model), digest=""))
    expected = await collected(local.ask(asked))
    local.close()
    before = await statistics(client)
    found = await asyncio.gather(*(collected(labeler.ask([one])) for one in asked))
    requests, batches, failed = (now - then for now, then in zip(await statistics(client), before, strict=True))
    for one, outcomes in zip(asked, found, strict=True):
        assert outcomes[one.id] == expected[one.id]
    assert failed == 0
    assert requests < 300, "questions under way are not sent again"
    assert batches < 0.75 * requests, "how many gather depends on how fast they come and are answered"


async def test_what_is_cancelled_is_not_computed(bare: TritonLabeler, client: Any) -> None:
    """One or two may have been under way already; without a look at who still waits it would be all of them."""

    async def ask(n: int, questions: int) -> None:
        image = Image.of(picture((n, 100, 100)))
        asked = tuple(f"Is it {k}?" for k in range(questions))
        await collected(bare.ask([Questions(id="a", image=image, questions=asked)]))

    before = await statistics(client)
    busy = [asyncio.create_task(ask(n, 250)) for n in range(60)]
    await eventually(lambda: bare.activity().batches > 0)  # the first answer: all the others are in Triton by now
    unwanted = [asyncio.create_task(ask(n, 1)) for n in range(100, 130)]
    await asyncio.sleep(0.3)
    assert not all(task.done() for task in busy)
    for task in unwanted:
        task.cancel()
    await asyncio.gather(*unwanted, return_exceptions=True)
    await asyncio.gather(*busy)
    await bare.check()  # whatever was queued before this probe has had its turn
    computed = (await statistics(client))[0] - before[0] - len(busy) - 1
    assert 0 <= computed < 15
