"""The folder of a training job, from which a killed job goes on.

    job.json                       what the job is; another job may not use the folder
    reference.safetensors          reference log-probabilities, stamped with all they depend on
    checkpoints/step-00000010/     state.safetensors, then COMPLETE with its sha256; renamed into place as a whole
    metrics.jsonl                  one line a step
    adapter/                       with LoRA: the adapters alone, on the job's start (peft's format)
    model/                         the result, a whole Hugging Face folder
    done.json                      its digest; written last

Nothing here is overwritten in place: a file or folder is whole, or it is not there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from rlaifv.adapters.files import file_digest, sync, write_file, written_folder
from rlaifv.core.errors import Conflict, DataLoss, StorageFull
from rlaifv.core.training import TrainingJob
from rlaifv.learning.loop import LoopState
from rlaifv.learning.objectives import PairLogprobs

log = structlog.get_logger(__name__)

KEPT_CHECKPOINTS = 2
"""The newest, and one to fall back on."""

_STATE, _MARKER = "state.safetensors", "COMPLETE"


def job_content(job: TrainingJob) -> dict[str, Any]:
    """What makes a job this job: places may change (a volume mounted elsewhere), content may not."""
    content = asdict(job)
    for place in ("pairs_uri", "output_uri"):
        del content[place]
    content["policy"] = job.policy.digest
    return content


def fingerprint(job: TrainingJob) -> str:
    """SHA-256 of `job_content`."""
    return hashlib.sha256(json.dumps(job_content(job), sort_keys=True).encode()).hexdigest()


def free_bytes(folder: Path) -> int:
    """Room left on the file system of a folder."""
    return shutil.disk_usage(folder).free


class JobFolder:
    """Reading and writing of one job's folder. `free` tells the room left; it is asked before anything large is written."""

    def __init__(self, path: Path, job: TrainingJob, free: Callable[[Path], int] = free_bytes) -> None:
        self.path = path
        self.model = path / "model"
        self.adapter = path / "adapter"
        self._job = job
        self._fingerprint = fingerprint(job)
        self._free = free

    def claim(self) -> None:
        """Make the folder this job's. Raises Conflict where it is another's, or the job's content is not what it was."""
        content = json.dumps(job_content(self._job), indent=2, sort_keys=True).encode()
        if (self.path / "job.json").exists():
            found = json.loads((self.path / "job.json").read_text())
            if found != json.loads(content):
                raise Conflict(
                    f"job {self._job.id!r}: {str(self.path)!r} holds job {found.get('id')!r} with other content; "
                    "choose another id and folder"
                )
        else:
            write_file(self.path / "job.json", content)

    def done(self) -> str | None:
        """The digest of the finished model, if the job is finished."""
        path = self.path / "done.json"
        return str(json.loads(path.read_text())["digest"]) if path.exists() else None

    def finish(self, digest: str) -> None:
        """Mark the job as finished; checkpoints are not needed any more."""
        write_file(self.path / "done.json", json.dumps({"digest": digest}).encode())
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def save_reference(self, reference: PairLogprobs, stamp: Mapping[str, Any]) -> None:
        """Keep reference log-probabilities with what they depend on."""
        tensors = {"chosen": reference.chosen, "rejected": reference.rejected}
        write_file(self.path / "reference.safetensors", save(tensors, {"stamp": json.dumps(stamp, sort_keys=True)}))

    def reference(self, stamp: Mapping[str, Any]) -> PairLogprobs | None:
        """The kept reference; None if there is none yet. Raises Conflict where its stamp is another (reference fault 17)."""
        path = self.path / "reference.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(str(path), framework="pt") as file:
                found = json.loads((file.metadata() or {}).get("stamp", "{}"))
                tensors = {name: file.get_tensor(name) for name in ("chosen", "rejected")}
        except SafetensorError as exc:
            raise DataLoss(f"{path} is damaged ({exc}): delete it, it will be computed again") from exc
        if found != dict(stamp):
            odd = sorted(name for name in {*found, *stamp} if found.get(name) != stamp.get(name))
            raise Conflict(
                f"{path}: reference log-probabilities were made with another {odd[0]} "
                f"({found.get(odd[0])!r}, now {stamp.get(odd[0])!r}); delete the file to compute them again"
            )
        return PairLogprobs(chosen=tensors["chosen"], rejected=tensors["rejected"])

    def save_state(self, state: LoopState) -> None:
        """Keep a training state and drop the oldest. Raises StorageFull with the earlier ones untouched."""
        target = self.path / "checkpoints" / f"step-{state.step:08d}"
        self.require_room(sum(t.numel() * t.element_size() for t in state.tensors.values()))
        with written_folder(target) as folder:
            save_file(state.tensors, str(folder / _STATE))
            sync([folder / _STATE])
            marker = {
                "step": state.step,
                "job": self._fingerprint,
                "threads": torch.get_num_threads(),
                "files": {_STATE: file_digest(folder / _STATE)},
            }
            write_file(folder / _MARKER, json.dumps(marker, indent=2).encode())
        for old in self._states()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)

    def newest_state(self) -> LoopState | None:
        """The newest state that is complete and intact; None if none was ever written.

        Damaged ones are passed over and logged. Raises DataLoss where all are damaged: training would have to start from
        the beginning, which nobody should learn from a log.
        """
        folders = self._states()
        for folder in reversed(folders):
            reason = self._damage(folder)
            if reason is None:
                marker = json.loads((folder / _MARKER).read_text())
                if marker["threads"] != torch.get_num_threads():
                    log.warning("resumed_with_other_threads", job=self._job.id, before=marker["threads"])
                return LoopState(step=int(marker["step"]), tensors=load_file(str(folder / _STATE)))
            log.warning("checkpoint_passed_over", job=self._job.id, checkpoint=folder.name, reason=reason)
        if folders:
            raise DataLoss(
                f"job {self._job.id!r}: no checkpoint in {folders[0].parent} is intact; delete that folder to train from the "
                "beginning"
            )
        return None

    def require_room(self, wanted: int) -> None:
        """Raises StorageFull if fewer than `wanted` bytes are free."""
        free = self._free(self.path)
        if free < wanted:
            raise StorageFull(f"{self.path}: {wanted} bytes are wanted and {free} are free; make room and resume")

    def write_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Replace the metrics by these steps."""
        write_file(self.path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())

    def metrics(self, up_to_step: int) -> list[dict[str, Any]]:
        """The kept metrics of the steps up to `up_to_step`."""
        path = self.path / "metrics.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["step"] <= up_to_step]

    def _states(self) -> list[Path]:
        folder = self.path / "checkpoints"
        return sorted(path for path in folder.glob("step-*") if path.is_dir())

    def _damage(self, folder: Path) -> str | None:
        """What is wrong with a checkpoint; None if nothing is."""
        try:
            marker = json.loads((folder / _MARKER).read_text())
            files = dict(marker["files"])
            if marker["job"] != self._fingerprint:
                return "it is another job's"
            broken = [name for name, digest in files.items() if file_digest(folder / name) != digest]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            return f"it is not complete ({exc})"
        return f"{broken[0]} is truncated or changed" if broken else None
