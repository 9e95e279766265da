"""The trainer on transformers: jobs in threads of their own, one at a time, watched by any number of callers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import structlog

from rlaifv.adapters.huggingface.checkpoint import folder_of
from rlaifv.adapters.huggingface.job_folder import JobFolder, job_content
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.errors import BackendFailed, Cancelled, Conflict, NotFound, RlaifvError
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress

log = structlog.get_logger(__name__)

_Watcher = tuple[asyncio.AbstractEventLoop, "asyncio.Queue[TrainingProgress]"]


class _Job:
    """A started job: its thread, its last report, and who wants to hear the next one."""

    def __init__(self, job: TrainingJob, options: TrainerOptions, turn: threading.Lock) -> None:
        self.job = job
        self._options = options
        self._turn = turn
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._watchers: list[_Watcher] = []
        self.progress = TrainingProgress(phase=TrainingPhase.PREPARING)
        self._thread = threading.Thread(target=self._run, name=f"training-{job.id}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join()

    def watch(self) -> asyncio.Queue[TrainingProgress]:
        """A queue that begins with the last report and gets all that follow."""
        queue: asyncio.Queue[TrainingProgress] = asyncio.Queue()
        with self._lock:
            queue.put_nowait(self.progress)
            self._watchers.append((asyncio.get_running_loop(), queue))
        return queue

    def forget(self, queue: asyncio.Queue[TrainingProgress]) -> None:
        with self._lock:
            self._watchers = [watcher for watcher in self._watchers if watcher[1] is not queue]

    def _run(self) -> None:
        with self._turn:
            self._report(self._outcome())

    def _outcome(self) -> TrainingProgress:
        """Run to the end; the last report."""
        try:
            run_training(self.job, self._options, self._report_running, self._stop.is_set)
        except Cancelled as error:
            return replace(self.progress, phase=TrainingPhase.CANCELLED, message=error.message)
        except RlaifvError as error:
            log.warning("training_failed", job=self.job.id, error=error.message)
            return replace(self.progress, phase=TrainingPhase.FAILED, message=error.message, error=error)
        except Exception as exc:
            log.exception("training_failed", job=self.job.id)
            failed = BackendFailed(
                f"job {self.job.id!r}: training failed in a way its input does not explain ({type(exc).__name__})"
            )
            return replace(self.progress, phase=TrainingPhase.FAILED, message=failed.message, error=failed)
        return self.progress

    def _report_running(self, progress: TrainingProgress) -> None:
        if progress.over:
            # Told by `_run` when the thread has nothing left to do.
            self.progress = progress
        else:
            self._report(progress)

    def _report(self, progress: TrainingProgress) -> None:
        with self._lock:
            self.progress = progress
            for loop, queue in self._watchers:
                # A watcher whose loop is closed does not listen any more.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(queue.put_nowait, progress)


class HuggingFaceTrainer:
    """ports.Trainer on transformers. Jobs run one after the other, in the order of their start."""

    def __init__(self, options: TrainerOptions | None = None) -> None:
        self._options = options or TrainerOptions()
        self._jobs: dict[str, _Job] = {}
        self._turn = threading.Lock()

    async def start(self, job: TrainingJob) -> None:
        """See ports.services.Trainer. A job that failed or was cancelled goes on from its last complete state.

        Raises NotFound for a policy folder or pair file that is not there; what else is wrong is the job's last report.
        """
        known = self._jobs.get(job.id)
        if known is not None and job_content(known.job) != job_content(job):
            raise Conflict(f"job_id = {job.id!r} names a job with other content: choose another id")
        if known is not None and (not known.progress.over or known.progress.phase is TrainingPhase.DONE):
            return
        await asyncio.to_thread(_check_places, job, self._options)
        self._jobs[job.id] = _Job(job, self._options, self._turn)

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        """See ports.services.Trainer. Begins with the last report."""
        job = self._known(job_id)
        queue = job.watch()
        try:
            while True:
                progress = await queue.get()
                yield progress
                if progress.over:
                    return
        finally:
            job.forget(queue)

    async def cancel(self, job_id: str) -> None:
        """See ports.services.Trainer. Raises NotFound for an unknown id."""
        self._known(job_id).cancel()

    async def close(self) -> None:
        """Stop all jobs between two steps; each keeps its state and goes on when it is started again."""
        for job in self._jobs.values():
            job.cancel()
        for job in self._jobs.values():
            await asyncio.to_thread(job.join)

    def _known(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(
                f"job_id = {job_id!r}: no such job was started here; start it (again), it goes on where it was"
            )
        return job


def _check_places(job: TrainingJob, options: TrainerOptions) -> None:
    """What can be refused at once."""
    folder_of(job.policy.uri)
    if not Path(job.pairs_uri.removeprefix("file://")).is_file():
        raise NotFound(f"pairs_uri = {job.pairs_uri!r}: there is no such file")
    JobFolder(Path(job.output_uri.removeprefix("file://")), job, options.free).claim()
