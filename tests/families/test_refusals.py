"""What a family cannot do is an error at start-up, and what a picture cannot be is an error of its item: never a wrong number."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rlaifv.adapters.huggingface.chat import PreparedImage
from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.policy import HuggingFacePolicy
from rlaifv.adapters.huggingface.prefix import Prefix
from rlaifv.adapters.huggingface.probe import prove_batch, prove_reading
from rlaifv.adapters.huggingface.vision import VisionEncoder
from rlaifv.core.candidates import Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput
from rlaifv.core.images import Image
from rlaifv.core.training import Precision
from rlaifv.ports.services import Generation
from tests.families.paligemma import save_paligemma
from tests.families.pictures import PICTURES, encoded


class Shifted(Decoder):
    """Goes on one position too far after a picture, as it would with another family's rule for positions."""

    def read(self, ids: Sequence[int], image: dict[str, Any]) -> Prefix:
        found = super().read(ids, image)
        return Prefix(
            keys=found.keys,
            values=found.values,
            tokens=found.tokens,
            next_position=found.next_position + 1,
            last_hidden=found.last_hidden,
        )


class Swapped(VisionEncoder):
    """Features of a picture's tokens in another order."""

    def encode(self, image: PreparedImage) -> dict[str, Any]:
        found = super().encode(image)
        features = found["mm_encoder_outputs"]["image"]
        parts = features.pooler_output
        whole = isinstance(parts, torch.Tensor)
        features.pooler_output = parts.flip(1) if whole else [part.flip(0) for part in parts]
        return found


@pytest.mark.parametrize("precision", list(Precision))
def test_the_proof_holds_and_notices_what_is_wrong(checkpoint: Checkpoint, precision: Precision) -> None:
    loaded = load_model(checkpoint, precision)
    decoder, vision = Decoder(loaded.model), VisionEncoder(loaded.model)
    prove_reading(loaded, decoder, vision)
    prove_batch(loaded)
    with pytest.raises(InvalidInput, match="reading a prompt in parts gives other logits"):
        prove_reading(loaded, Shifted(loaded.model), vision)
    with pytest.raises(InvalidInput, match="reading a prompt in parts gives other logits"):
        prove_reading(loaded, decoder, Swapped(loaded.model))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_prefix_model_is_refused(tmp_path: Path) -> None:
    """PaliGemma attends in both directions over the whole prompt, so that nothing can branch from a picture."""
    checkpoint = checkpoint_at(save_paligemma(tmp_path / "paligemma"))
    with pytest.raises(InvalidInput, match="changes more of a prompt than the image token"):
        HuggingFacePolicy.open(checkpoint)
    with pytest.raises(InvalidInput, match="changes more of a prompt than the image token"):
        prove_batch(load_model(checkpoint))


@pytest.fixture
def llava(made: dict[str, Path]) -> LoadedModel:
    return load_model(checkpoint_at(made["llava"]))


def test_a_template_that_writes_text_before_the_picture(made: dict[str, Path], tmp_path: Path) -> None:
    """Questions could not share the picture then."""
    folder = Path(shutil.copytree(made["llava"], tmp_path / "llava"))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% for p in m['content'] | reverse %}{{ p['text'] if 'text' in p else '<image>' }}"
        "{% endfor %}{% endfor %}"
    )
    with pytest.raises(InvalidInput, match="puts text before the image"):
        HuggingFacePolicy.open(checkpoint_at(folder))


def test_a_template_without_a_picture(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["llava"], tmp_path / "llava"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}")
    with pytest.raises(InvalidInput, match="writes 0 image tokens"):
        load_model(checkpoint_at(folder))


def test_other_memory_than_keys_and_values(llava: LoadedModel) -> None:
    llava.model.config.get_text_config().layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(InvalidInput, match="linear_attention"):
        Decoder(llava.model)


def test_logits_that_are_not_linear(llava: LoadedModel) -> None:
    def bend(_: Any, __: Any, output: Any) -> Any:
        output.logits = output.logits.tanh()
        return output

    llava.model.register_forward_hook(bend)
    with pytest.raises(InvalidInput, match="linear function"):
        Decoder(llava.model)


async def test_a_picture_that_the_processor_refuses_fails_alone(made: dict[str, Path]) -> None:
    """Qwen-VL takes no picture whose sides are over 200 times each other."""
    policy = HuggingFacePolicy.open(checkpoint_at(made["qwen2_5_vl"]))
    pictures = {"strip": encoded(402, 2), "square": PICTURES["square"]}
    items = [
        Generation(
            prompt=Prompt(id=name, image=Image(data=data), text="What?"),
            seeds=(1,),
            sampling=Sampling(max_new_tokens=2),
        )
        for name, data in pictures.items()
    ]
    found = {outcome.item_id: outcome async for outcome in policy.generate(items)}
    await policy.close()
    assert found["square"].unwrap()
    with pytest.raises(InvalidInput, match=r"402x2 px.*aspect ratio"):
        found["strip"].unwrap()


def test_without_torchvision_nothing_is_served(made: dict[str, Path]) -> None:
    """transformers would take its other image processor in silence, and the pixels would be others."""
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from pathlib import Path\n"
        "from rlaifv.adapters.huggingface.loading import load_processor\n"
        f"load_processor(Path({str(made['llava'])!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "torchvision is not installed" in done.stderr
