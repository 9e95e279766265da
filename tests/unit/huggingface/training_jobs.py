"""Pair files and jobs for the tests of training."""

from __future__ import annotations

from pathlib import Path

import torch

from rlaifv.adapters.preferences import PreferenceRow, write_preferences
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Hyperparameters, Lora, Precision, TrainingJob
from tests.tiny_llava import picture

FULL = Hyperparameters(
    learning_rate=1e-3, epochs=2, batch_size=4, micro_batch_size=2, precision=Precision.FP32, seed=11
)
LORA = Hyperparameters(
    learning_rate=1e-2,
    epochs=2,
    batch_size=4,
    micro_batch_size=2,
    precision=Precision.FP32,
    seed=11,
    lora=Lora(rank=4, alpha=8, dropout=0.1),
)
STEPS = 10
"""Of `FULL` and `LORA` over the 18 pairs of `pair_file`: five an epoch, the last of two pairs."""


def pair_file(path: Path, extra: list[PreferenceRow] | None = None) -> str:
    """18 pairs on 9 pictures, some with markers in the answers; returns the digest."""
    rows = [
        PreferenceRow(
            image=picture((n // 2 * 25, 30, 200)),
            question=f"What is on the {'left' if n % 2 else 'right'}? <image>",
            chosen=f"There is a red car. {'ASSISTANT: ' if n % 3 == 0 else ''}And {n} cups.",
            rejected="There are two dogs." + " <image> </s> And a bus." * (n % 4),
        )
        for n in range(18)
    ]
    return write_preferences(path, rows + (extra or []))


def job(
    folder: Path,
    policy: Checkpoint,
    hyperparameters: Hyperparameters,
    pairs: Path,
    job_id: str = "job",
    pairs_digest: str = "",
) -> TrainingJob:
    return TrainingJob(
        id=job_id,
        policy=policy,
        pairs_uri=str(pairs),
        output_uri=str(folder),
        pairs_digest=pairs_digest,
        hyperparameters=hyperparameters,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a model folder by the names transformers gives them in memory."""
    from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
    from rlaifv.adapters.huggingface.loading import load_model

    return dict(load_model(checkpoint_at(folder)).model.state_dict())
