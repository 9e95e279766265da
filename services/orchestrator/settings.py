"""Settings of the orchestrator service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rlaifv.rpc.settings import ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """Environment variables RLAIFV_ORCHESTRATOR_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_ORCHESTRATOR_")

    runs_folder: Path = Path("runs")
    """Folder of all runs; policy and trainer must see it under the same path."""
    database_url: str | None = None
    """Where runs are kept: postgresql://… for several workers; absent: SQLite files in the runs folder."""
    executor_id: str = Field(default="local", min_length=1, max_length=64)
    """Names this worker among those on one database; a restarted worker takes its own runs up again."""
    max_runs: int = Field(default=1, ge=1, le=64)
    """Most runs at work at once. More than 1 only if their policies are apart: a policy serves one checkpoint at a time."""
    policy_target: str | None = None
    """Address of the policy service, "host:port", for run files that name none."""
    decomposer_target: str | None = None
    """Address of the decomposer service, likewise."""
    labeler_target: str | None = None
    """Address of the labeler service, likewise."""
    trainer_target: str | None = None
    """Address of the trainer service, likewise."""
    patience_s: float = Field(default=600.0, gt=0)
    """How long a service may be away before the run fails, seconds; a failed run can be resumed."""
    call_timeout_s: float = Field(default=60.0, gt=0)
    """Longest time of a short call (not of streams), seconds."""
    load_timeout_s: float = Field(default=1800.0, gt=0)
    """Longest time in which the policy may take a checkpoint over, seconds."""
    stall_s: float = Field(default=1800.0, gt=0)
    """A stream that says nothing for so long is given up and begun anew, seconds."""
