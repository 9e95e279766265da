"""How a run looks while it goes on, and when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rlaifv.adapters.orchestrator_client import RoundState, RunState
from rlaifv.cli.output import err

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

STAGES = ("collecting", "pairing", "training", "validating", "evaluating")
_PHASE_STYLES = {"done": "green", "failed": "bold red", "cancelled": "yellow", "running": "cyan", "pending": "dim"}


class LiveView:
    """Bars and tables that follow a run on a terminal; where there is none, one line for each stage and round."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.live import Live

        self._console = console or err()
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._said = ""
        self._rounds = 0

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, state: RunState) -> None:
        """The newest state."""
        if self._console.is_terminal:
            self._live.update(run_panel(state))
            return
        for round_ in state.rounds[self._rounds :]:
            self._console.print(f"round {round_.index} is over: {_in_words(round_)}", soft_wrap=True)
        self._rounds = max(self._rounds, len(state.rounds))
        said = f"round {state.iteration} of {state.iterations}: {state.stage}"
        if said != self._said and not state.over:
            self._console.print(f"{said} ({duration(state.wall_s)})")
            self._said = said

    def note(self, text: str) -> None:
        """A remark that stays above the bars."""
        self._console.print(text, style="yellow", soft_wrap=True)


def run_panel(state: RunState) -> RenderableType:
    """The whole state: header, stages of the present round, training figures, finished rounds."""
    from rich.console import Group
    from rich.text import Text

    header = Text.assemble(
        (state.name, "bold"),
        "  ",
        (state.phase, _PHASE_STYLES.get(state.phase, "")),
        f"  round {state.iteration} of {state.iterations}  {duration(state.wall_s)}",
    )
    parts: list[RenderableType] = [header, _stage_bars(state)]
    if state.training:
        figures = state.training
        parts.append(
            Text(
                f"training  loss {figures.loss:.4f}  reward margin {figures.reward_margin:+.3f}  "
                f"ranked rightly {figures.accuracy * 100:.0f} %  {figures.pairs_per_s:.1f} pairs/s"
            )
        )
    if state.dropped:
        parts.append(Text("left out  " + _counts(state.dropped), style="dim"))
    if state.rounds:
        parts.append(round_table(state.rounds))
    return Group(*parts)


def _stage_bars(state: RunState) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    now = STAGES.index(state.stage) if state.stage in STAGES else len(STAGES)
    for place, stage in enumerate(STAGES):
        if state.iteration == 0 and stage != "evaluating":
            continue
        if place < now:
            table.add_row(Text("✓", style="green"), Text(stage, style="dim"), "", "")
        elif place == now:
            bar = ProgressBar(
                total=state.stage_total or None, completed=state.stage_done, width=36, pulse=not state.stage_total
            )
            count = f"{state.stage_done} of {state.stage_total}" if state.stage_total else ""
            table.add_row(Text("▶", style="cyan"), Text(stage, style="bold"), bar, count)
        else:
            table.add_row(" ", Text(stage, style="dim"), "", "")
    return table


def round_table(rounds: Iterable[RoundState]) -> Table:
    """Finished rounds with their figures."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("round", "hallucinating answers", "coverage", "words", "pairs", "promoted"):
        table.add_column(name, justify="right")
    for round_ in rounds:
        table.add_row(
            str(round_.index),
            _percent(round_.response_hallucination),
            _percent(round_.coverage),
            "-" if round_.mean_words is None else f"{round_.mean_words:.1f}",
            str(round_.pairs) if round_.index else "",
            "start" if not round_.index else "yes" if round_.promoted else "no",
        )
    return table


def run_table(states: Iterable[RunState]) -> Table:
    """One row a run."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "phase", "round", "stage", "hallucinating answers", "time"):
        table.add_column(name)
    for state in states:
        figures = [r.response_hallucination for r in state.rounds if r.response_hallucination is not None]
        change = f"{_percent(figures[0])} → {_percent(figures[-1])}" if figures else "-"
        phase = Text(state.phase, style=_PHASE_STYLES.get(state.phase, ""))
        table.add_row(
            state.name, phase, f"{state.iteration} of {state.iterations}", state.stage, change, duration(state.wall_s)
        )
    return table


def run_to_json(state: RunState) -> dict[str, Any]:
    """Plain JSON types."""
    from dataclasses import asdict

    return asdict(state)


def duration(seconds: float) -> str:
    """75 -> "1 min 15 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items()))


def _in_words(round_: RoundState) -> str:
    promoted = "the start" if not round_.index else "promoted" if round_.promoted else "not promoted"
    words = "-" if round_.mean_words is None else f"{round_.mean_words:.1f}"
    figures = f"hallucinating answers {_percent(round_.response_hallucination)}, coverage {_percent(round_.coverage)}"
    return f"{promoted}, {round_.pairs} pairs, {figures}, {words} words"
