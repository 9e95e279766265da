"""Puts the report together: reads the runs, draws the plots, renders the page, writes the files."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaifv import __version__
from rlaifv.adapters.report import (
    drawing,
    gallery,
    plots_labeler,
    plots_rounds,
    plots_time,
    plots_training,
    plots_utilisation,
)
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.headline import aims, headline, percent, percents
from rlaifv.adapters.report.reliability import accuracy_by_type, judged_claims
from rlaifv.adapters.report.results import RunResult, results
from rlaifv.adapters.report.run_files import read_run
from rlaifv.adapters.report.wording import DROP_REASONS, claim_class, claim_title
from rlaifv.core.errors import InvalidInput, StorageFull

SECTIONS = ("rounds", "pairs", "labeler", "training", "time", "drops")
"""Where plots can stand on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where the report is, its headline (a sentence for each run) and whether summary.json and the answers agree."""

    path: Path
    plots: tuple[Path, ...]
    headline: tuple[str, ...]
    agrees: bool


def write_report(folders: Sequence[Path], out: Path) -> Report:
    """Write `out`/index.html and its plots about the runs in `folders`; earlier files of the same names are replaced.

    Raises NotFound or InvalidInput for a folder that holds no run, StorageFull if `out` cannot be written.
    """
    if not folders:
        raise InvalidInput("report: name at least one run")
    runs = results([read_run(folder) for folder in folders])
    plots = draw(runs)
    page = render(runs, plots)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "index.html").write_text(page, encoding="utf-8")
        for plot in every(plots):
            (out / f"{plot.name}.png").write_bytes(drawing.png(plot.figure))
    except OSError as exc:
        raise StorageFull(f"{out}: cannot be written ({exc.strerror}); free some room or name another folder") from exc
    return Report(
        path=out / "index.html",
        plots=tuple(out / f"{plot.name}.png" for plot in every(plots)),
        headline=tuple(str(headline(run)) for run in runs),
        agrees=not any(r.disagreements for run in runs for r in run.rounds),
    )


def draw(runs: Sequence[RunResult]) -> dict[str, list[Plot]]:
    """All plots that the runs have data for, by section."""
    with drawing.style():
        return {
            "rounds": plots_rounds.metric_plots(runs),
            "pairs": _present(plots_rounds.pairs_plot(runs)),
            "labeler": _present(
                plots_labeler.reliability_plot(runs),
                plots_labeler.confidence_plot(runs),
                plots_labeler.false_by_type_plot(runs),
            ),
            "training": plots_training.training_plots(runs),
            "time": [plot for place, run in enumerate(runs, 1) for plot in _time_plots(run, place)],
            "drops": _present(*(plots_rounds.drops_plot(run, f"dropped_{i}") for i, run in enumerate(runs, 1))),
        }


def _time_plots(run: RunResult, place: int) -> list[Plot]:
    return _present(
        plots_time.stage_plot(run, f"stages_{place}"),
        plots_time.timeline_plot(run, f"timeline_{place}"),
        plots_utilisation.utilisation_plot(run, f"utilisation_{place}"),
    )


def every(plots: Mapping[str, Sequence[Plot]]) -> list[Plot]:
    """The plots of all sections."""
    return [plot for section in plots.values() for plot in section]


def render(runs: Sequence[RunResult], plots: Mapping[str, Sequence[Plot]]) -> str:
    """The page. Everything that came from a model or a user is escaped by the template engine."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("rlaifv.adapters.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "percents": percents}
    environment.globals |= {"claim_class": claim_class, "claim_title": claim_title}
    shown = {
        section: [{"plot": plot, "svg": Markup(drawing.svg(plot))} for plot in drawn]
        for section, drawn in plots.items()
    }
    text = environment.get_template("index.html.j2").render(_context(runs), plots=shown)
    return "".join(c if _allowed(c) else "\ufffd" for c in text)


def _allowed(character: str) -> bool:
    """Whether a page may hold it: a model may well emit control characters, lone surrogates and non-characters."""
    return character in "\t\n" or (
        character >= " " and not "\ud800" <= character <= "\udfff" and character not in "\ufffe\uffff"
    )


def _context(runs: Sequence[RunResult]) -> dict[str, Any]:
    return {
        "runs": runs,
        "headlines": {run.label: headline(run) for run in runs},
        "aims": {run.label: aims(run) for run in runs},
        "disagreements": [(run, r, d) for run in runs for r in run.rounds for d in r.disagreements],
        "accuracies": {run.label: accuracy_by_type(judged_claims(run.files)) for run in runs},
        "exhibits": {run.label: gallery.before_and_after(run, int(run.files.summary.get("seed") or 0)) for run in runs},
        "failures": {run.label: gallery.worst(run) for run in runs},
        "drop_reasons": DROP_REASONS,
        "version": __version__,
        "python": platform.python_version(),
    }


def _present(*plots: Plot | None) -> list[Plot]:
    return [plot for plot in plots if plot is not None]
