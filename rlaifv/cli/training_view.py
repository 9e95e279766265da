"""How a training job looks while it goes on."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rlaifv.cli.output import err
from rlaifv.core.training import TrainingPhase, TrainingProgress


class TrainingView:
    """A bar with live figures on a terminal, a line for each phase elsewhere, nothing if `quiet`."""

    def __init__(self, quiet: bool) -> None:
        console = err()
        self._plain = not console.is_terminal
        self._quiet = quiet
        self._phase: TrainingPhase | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=quiet or self._plain,
        )
        self._task = self._bar.add_task("preparing", total=None, figures="")

    def __enter__(self) -> TrainingView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: TrainingProgress) -> None:
        """The newest report."""
        figures = f"loss {progress.loss:.4f}  margin {progress.reward_margin:+.3f}  {progress.pairs_per_s:.1f} pairs/s"
        self._bar.update(
            self._task,
            description=progress.phase.value,
            completed=progress.step,
            total=progress.total_steps or None,
            figures=figures if progress.step else "",
        )
        if self._plain and not self._quiet and progress.phase is not self._phase:
            resumed = f", resumed from step {progress.resumed_from_step}" if progress.resumed_from_step else ""
            self._bar.console.print(f"{progress.phase.value}: step {progress.step} of {progress.total_steps}{resumed}")
        self._phase = progress.phase
