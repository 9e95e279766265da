"""Train the demo's two checkpoints from nothing: `python -m demo.model.build` (`make demo-model`).

Patches first, then captions and questions together, then two branches: the policy goes on with both, the stronger labeler
with questions mostly. Finished stages are kept in the work folder, and a later call goes on after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from demo.model.architecture import build_model, build_processor
from demo.model.corpus import Corpus, load
from demo.model.dense import DensePlan, PatchWords, train_patches
from demo.model.joint import JointPlan, train_answers
from demo.model.packing import Packer
from demo.model.tokenizer import build_tokenizer
from demo.world.scenes import Split

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
TRAIN_SCENES = 30_000
MONITOR_SCENES = 1_000
PATCHES = DensePlan(steps=900)
TRUNK = JointPlan(steps=1300, seed=1)
POLICY = JointPlan(
    steps=400, learning_rate=5e-4, vision_learning_rate=2e-4, caption_weight=1.5, verdict_weight=0.7, seed=2
)
STRONGER = JointPlan(
    steps=700, rounds=2, learning_rate=7e-4, vision_learning_rate=3e-4, caption_weight=0.2, verdict_weight=2.0, seed=3
)


class Workshop:
    """The model in training, its data, and the folder that keeps what is finished."""

    def __init__(self, work: Path, console: Console) -> None:
        self._work = work
        self._console = console
        self.tokenizer: PreTrainedTokenizerFast = build_tokenizer()
        self.model: LlavaForConditionalGeneration = build_model(self.tokenizer, seed=0)
        # The fused attention's backward pass is several times slower on CPU than the plain one.
        self.model.set_attn_implementation("eager")
        self._words = PatchWords(self.tokenizer)
        self._packer = Packer(self.tokenizer)
        console.print(f"drawing {TRAIN_SCENES + MONITOR_SCENES} scenes into {work}")
        self._corpus: Corpus = load(work, Split.TRAIN, TRAIN_SCENES)
        self._watch: Corpus = load(work, Split.MONITOR, MONITOR_SCENES)

    def stage(self, name: str, plan: DensePlan | JointPlan, after: str | None = None) -> None:
        """Train by `plan` from where stage `after` ended, or from where the last call left the model."""
        if after:
            self._restore(after)
        if self._file(name).exists():
            self._restore(name)
            return
        for figures in self._run(plan):
            self._console.print(f"{name}: " + "  ".join(f"{key} {value:.3g}" for key, value in figures.items()))
        torch.save({"model": self.model.state_dict(), "words": self._words.state_dict()}, self._file(name))

    def export(self, folder: Path) -> None:
        """Write the model as it is now as a Hugging Face folder in bf16."""
        exported = build_model(self.tokenizer, seed=0)
        exported.load_state_dict(self.model.state_dict())
        exported.to(torch.bfloat16).save_pretrained(folder)
        build_processor(self.tokenizer).save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)

    def _run(self, plan: DensePlan | JointPlan) -> Iterator[dict[str, float]]:
        if isinstance(plan, DensePlan):
            return train_patches(self.model, self._words, self._corpus, plan, self._watch)
        return train_answers(self.model, self._words, self._packer, self._corpus, plan, self._watch)

    def _restore(self, name: str) -> None:
        stored = torch.load(self._file(name))
        self.model.load_state_dict(stored["model"])
        self._words.load_state_dict(stored["words"])

    def _file(self, name: str) -> Path:
        return self._work / f"{name}.pt"


def build(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints `policy` and `stronger`.")] = CHECKPOINTS,
    work: Annotated[Path, typer.Option(help="Folder for pictures and finished stages, about 1 GB.")] = Path(
        "build/demo-model"
    ),
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Train both checkpoints; about an hour on two free cores."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    workshop = Workshop(work, Console())
    workshop.stage("patches", PATCHES)
    workshop.stage("trunk", TRUNK)
    workshop.stage("policy", POLICY)
    workshop.export(out / "policy")
    workshop.stage("stronger", STRONGER, after="trunk")
    workshop.export(out / "stronger")


if __name__ == "__main__":
    typer.run(build)
