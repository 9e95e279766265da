"""The verification step of faithscore 0.0.9 (stage 3, its LLaVA branch) with this bench's checkpoint behind it.

Its wheel comes from PyPI without dependencies into a temporary folder. Run as it is: `FaithScore.stage3`, its prompt wording, its
loop over facts, `LLaVA.eval`, a picture read and processed for every fact, `generate`, its decision ("yes" in the reply).
Stubbed, because they fetch models or talk to the network, or are not used in this step: openai, modelscope, nltk, shortuuid, and

| of llava                    | instead                                                                                     |
|-----------------------------|---------------------------------------------------------------------------------------------|
| load_pretrained_model       | the checkpoint, loaded before the clock starts                                              |
| conv_templates              | the checkpoint's chat template; " Answer with yes or no." follows the wording, as in ours   |
| tokenizer_image_token       | the checkpoint's tokenizer                                                                  |
| model.generate              | transformers' `generate`, greedy and one token long instead of sampled at 0.2 until its end |
| .cuda() and .half()         | nothing: CPU, in the number format of the comparison                                        |

One token instead of several is to faithscore's advantage. Ours are asked in faithscore's wording.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bench.labeler_published import PublishedSide, user_turn
from bench.labeler_sides import Answer
from bench.scenes import AskedPicture
from rlaifv.core.errors import InvalidInput, Unavailable
from rlaifv.core.training import Precision

_WHEEL = "faithscore==0.0.9"
_IMAGE = "<image>"


def wording(element: str) -> str:
    """How faithscore puts a fact to its model."""
    return f"Statement: {element} Is this statement is right according to the image? Please answer yes or no."


class FaithscoreSide:
    """Checks facts one by one."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        """Raises Unavailable where the wheel cannot be fetched, InvalidInput for a model that takes more than pixels."""
        self._plain = PublishedSide(folder, precision)
        self._folder = tempfile.TemporaryDirectory(prefix="faithscore-")
        model = _Model(self._plain)
        with _importable(install(Path(self._folder.name)), _stubs(model)):
            framework = importlib.import_module("faithscore.framework")
        self._score: Any = framework.FaithScore(vem_type="llava", llava_path=str(folder))
        self._model = model

    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        images = [io.BytesIO(one.image.data) for one in pictures]
        self._model.logits.clear()
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            _, scores = self._score.stage3([one.questions for one in pictures], images)
        accepted = [bool(score) for of_picture in scores for score in of_picture]
        verdicts = [self._plain.verdict(logits) for logits in self._model.logits]
        return [
            Answer(verdict.p_yes, verdict.p_no, decided) for verdict, decided in zip(verdicts, accepted, strict=True)
        ]

    def cpu_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        self._plain.close()
        self._folder.cleanup()


def install(folder: Path) -> Path:
    """Put the wheel's files into a folder; returns it. Raises Unavailable without a network."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), _WHEEL],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Unavailable(
            f"pip cannot install {_WHEEL}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    return folder


class _OnHost(Tensor):
    """A tensor that stays on the CPU and in its number format, whatever it is told."""

    def cuda(self, *args: Any, **kwargs: Any) -> _OnHost:
        return self

    def half(self, *args: Any, **kwargs: Any) -> _OnHost:
        return self


class _Model:
    """What faithscore takes for LLaVA's tokenizer, model and image processor; keeps the logits of every reply."""

    def __init__(self, plain: PublishedSide) -> None:
        self._plain = plain
        self._tokenizer = plain.processor.tokenizer
        self._image_id = plain.model.config.image_token_id
        self._image_tokens: int = getattr(plain.model.config, "image_seq_length", 0)
        if type(plain.model).__name__ != "LlavaForConditionalGeneration":
            raise InvalidInput(
                "faithscore's LLaVA branch takes a LLaVA-1.5 checkpoint: pixels of one size and nothing else"
            )
        self.config = SimpleNamespace(mm_use_im_start_end=False)
        self.logits: list[Tensor] = []

    def preprocess(self, image: Any, return_tensors: str) -> dict[str, Tensor]:
        pixels = self._plain.processor.image_processor(image.convert("RGB"), return_tensors=return_tensors)[
            "pixel_values"
        ]
        return {"pixel_values": pixels.to(self._plain.model.dtype).as_subclass(_OnHost)}

    def ids(self, prompt: str, *args: Any, **kwargs: Any) -> Tensor:
        begins = bool(self._tokenizer.bos_token) and prompt.startswith(self._tokenizer.bos_token)
        found: Tensor = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=not begins)["input_ids"][0]
        return found.as_subclass(_OnHost)

    def prompt(self, message: str) -> str:
        turn = user_turn(message.removeprefix(f"{_IMAGE}\n"))
        return str(self._plain.processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False))

    def generate(self, input_ids: Tensor, images: Tensor, **asked: Any) -> Tensor:
        ids = input_ids.as_subclass(Tensor)
        count = torch.where(ids[0] == self._image_id, self._image_tokens, 1)
        whole = ids[0].repeat_interleave(count)[None]
        done = self._plain.model.generate(
            input_ids=whole, attention_mask=torch.ones_like(whole), pixel_values=images.as_subclass(Tensor),
            max_new_tokens=1, do_sample=False, num_beams=asked["num_beams"], use_cache=asked["use_cache"],
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        self.logits.append(done.logits[0][0])
        return torch.cat([ids, done.sequences[:, -1:]], dim=1)

    def batch_decode(self, ids: Tensor, skip_special_tokens: bool) -> list[str]:
        return list(self._tokenizer.batch_decode(ids.as_subclass(Tensor), skip_special_tokens=skip_special_tokens))


class _Conversation:
    """LLaVA's, as far as faithscore uses it."""

    roles = ("USER", "ASSISTANT")
    sep, sep2, sep_style = " ", "</s>", 0

    def __init__(self, model: _Model) -> None:
        self._model = model
        self._message = ""

    def copy(self) -> _Conversation:
        return _Conversation(self._model)

    def append_message(self, role: str, message: str | None) -> None:
        self._message = message or self._message

    def get_prompt(self) -> str:
        return self._model.prompt(self._message)


def _stubs(model: _Model) -> dict[str, ModuleType]:
    contents: dict[str, dict[str, Any]] = {
        "openai": {}, "nltk": {}, "shortuuid": {}, "modelscope": {}, "modelscope.utils": {},
        "modelscope.utils.constant": {"Tasks": None}, "modelscope.pipelines": {"pipeline": None},
        "modelscope.preprocessors": {}, "modelscope.preprocessors.multi_modal": {"OfaPreprocessor": None},
        "modelscope.outputs": {"OutputKeys": None}, "llava": {}, "llava.model": {},
        "llava.constants": {
            "IMAGE_TOKEN_INDEX": -200, "DEFAULT_IMAGE_TOKEN": _IMAGE,
            "DEFAULT_IM_START_TOKEN": "", "DEFAULT_IM_END_TOKEN": "",
        },
        "llava.conversation": {
            "conv_templates": {"llava_v1": _Conversation(model)}, "SeparatorStyle": SimpleNamespace(TWO=1),
        },
        "llava.model.builder": {"load_pretrained_model": lambda *args: (model, model, model, 2048)},
        "llava.utils": {"disable_torch_init": lambda: None},
        "llava.mm_utils": {
            "tokenizer_image_token": model.ids, "get_model_name_from_path": str,
            "KeywordsStoppingCriteria": lambda *args: None,
        },
    }  # fmt: skip
    made = {}
    for name, members in contents.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(members)
    return made


@contextlib.contextmanager
def _importable(folder: Path, stubs: dict[str, ModuleType]) -> Iterator[None]:
    """`folder` on the path and the stubs in place of modules, for as long as faithscore is imported."""
    before = {name: sys.modules[name] for name in stubs if name in sys.modules}
    sys.modules.update(stubs)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in stubs:
            del sys.modules[name]
        sys.modules.update(before)
