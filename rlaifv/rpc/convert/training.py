"""Training jobs and their reports."""

from __future__ import annotations

import re

from rlaifv.api.v1 import trainer_pb2
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import Hyperparameters, Lora, Precision, TrainingJob, TrainingPhase, TrainingProgress
from rlaifv.rpc.convert.candidates import checkpoint_from_proto, checkpoint_to_proto
from rlaifv.rpc.convert.values import enum_from_proto, enum_to_proto, text_to_proto
from rlaifv.rpc.errors import from_status, to_status

_JOB_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_SAME_NAME = (
    "beta", "sft_weight", "learning_rate", "warmup_ratio", "weight_decay", "max_grad_norm", "epochs", "batch_size",
    "micro_batch_size", "max_tokens", "train_vision", "seed",
)  # fmt: skip
_PROGRESS_SAME_NAME = (
    "step", "total_steps", "loss", "reward_margin", "accuracy", "chosen_logprob", "rejected_logprob", "grad_norm",
    "learning_rate", "pairs_per_s", "message", "resumed_from_step",
)  # fmt: skip


def job_id_checked(job_id: str) -> str:
    """`job_id`; raises InvalidInput if it is no such id."""
    if not _JOB_ID.fullmatch(job_id) or set(job_id) == {"."}:
        raise InvalidInput.field("job_id", job_id, "must be 1 to 128 of letters, digits, '-', '_' and '.'")
    return job_id


def job_to_proto(job: TrainingJob) -> trainer_pb2.StartTrainingRequest:
    return trainer_pb2.StartTrainingRequest(
        job_id=job.id,
        policy=checkpoint_to_proto(job.policy),
        pairs_uri=text_to_proto("pairs_uri", job.pairs_uri),
        pairs_digest=job.pairs_digest,
        output_uri=text_to_proto("output_uri", job.output_uri),
        hyperparameters=hyperparameters_to_proto(job.hyperparameters),
    )


def job_from_proto(request: trainer_pb2.StartTrainingRequest) -> TrainingJob:
    for field in ("policy", "hyperparameters"):
        if not request.HasField(field):
            raise InvalidInput(f"{field} is missing: every job must state it")
    for field in ("pairs_uri", "output_uri"):
        if not getattr(request, field):
            raise InvalidInput.field(field, "", "is empty: give a path that the trainer can reach")
    return TrainingJob(
        id=job_id_checked(request.job_id),
        policy=checkpoint_from_proto(request.policy),
        pairs_uri=request.pairs_uri,
        pairs_digest=request.pairs_digest,
        output_uri=request.output_uri,
        hyperparameters=hyperparameters_from_proto(request.hyperparameters),
    )


def hyperparameters_to_proto(values: Hyperparameters) -> trainer_pb2.Hyperparameters:
    lora = values.lora
    return trainer_pb2.Hyperparameters(
        **{name: getattr(values, name) for name in _SAME_NAME},
        precision=enum_to_proto(trainer_pb2.Precision, "PRECISION", values.precision),
        lora=trainer_pb2.Lora(rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout) if lora else None,
    )


def hyperparameters_from_proto(values: trainer_pb2.Hyperparameters) -> Hyperparameters:
    lora = values.lora
    return Hyperparameters(
        **{name: getattr(values, name) for name in _SAME_NAME},
        precision=enum_from_proto(trainer_pb2.Precision, "PRECISION", values.precision, Precision, Precision.BF16),
        lora=Lora(rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout) if values.HasField("lora") else None,
    )


def progress_to_proto(progress: TrainingProgress) -> trainer_pb2.WatchTrainingResponse:
    failed = progress.phase is TrainingPhase.FAILED
    return trainer_pb2.WatchTrainingResponse(
        **{name: getattr(progress, name) for name in _PROGRESS_SAME_NAME},
        phase=enum_to_proto(trainer_pb2.TrainingPhase, "TRAINING_PHASE", progress.phase),
        checkpoint=checkpoint_to_proto(progress.checkpoint) if progress.checkpoint else None,
        dropped=progress.dropped,
        error_code=to_status(progress.error or RuntimeError())[0].value[0] if failed else 0,
    )


def progress_from_proto(response: trainer_pb2.WatchTrainingResponse) -> TrainingProgress:
    return TrainingProgress(
        **{name: getattr(response, name) for name in _PROGRESS_SAME_NAME},
        phase=enum_from_proto(trainer_pb2.TrainingPhase, "TRAINING_PHASE", response.phase, TrainingPhase),
        checkpoint=checkpoint_from_proto(response.checkpoint) if response.HasField("checkpoint") else None,
        dropped=dict(response.dropped),
        error=from_status(response.error_code, response.message) if response.error_code else None,
    )
