"""One look for all plots, and how a plot becomes a PNG file or inline SVG whose colours follow the page (light or dark).

Hues are Okabe and Ito's, told apart by people with any common colour blindness.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, MUTED, GRID, SURFACE = "#1d2129", "#667080", "#e3e6ea", "#fdfdfc"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW, GREY = "#cc79a7", "#56b4e9", "#c9b800", "#98a0aa"

VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", BLUE: "blue", ORANGE: "orange", GREEN: "green",
    VERMILION: "vermilion", PURPLE: "purple", SKY: "sky", YELLOW: "yellow", GREY: "grey",
}  # fmt: skip
"""Plot colour -> the page's CSS variable (`--c-<name>`) that takes its place in inline SVG."""

RUN_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
RUN_MARKERS = ("o", "s", "D", "^", "v", "P")
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": SURFACE,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlaifv",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.left": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawn plot: `name` is its file name without ending, `alt` says in words what it shows; `wide` takes two columns."""

    name: str
    title: str
    note: str
    alt: str
    figure: Figure
    wide: bool = False


def style() -> Any:
    """The context in which plots must be drawn and saved."""
    return rc_context(STYLE)


def canvas(width: float = 3.7, height: float = 2.5) -> tuple[Figure, Any]:
    """An empty figure (inches) with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def legend_below(axes: Any, columns: int) -> None:
    """The legend under the axes, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, handlelength=1.3, columnspacing=1.1
        )


def settle(figure: Figure) -> None:
    """Lay the figure out once, not again for every file that it is saved to."""
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def png(figure: Figure) -> bytes:
    """The figure on its light surface, twice the screen's resolution."""
    out = io.BytesIO()
    with style():
        settle(figure)
        figure.savefig(out, format="png", dpi=192, metadata={"Software": None})
    return out.getvalue()


def svg(plot: Plot) -> str:
    """The figure as an `<svg>` element without background, scaling with the page, colours as CSS variables."""
    out = io.StringIO()
    with style():
        settle(plot.figure)
        plot.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # A style element would hold for the whole page; the page says the same for its plots.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for colour, variable in VARIABLES.items():
        text = re.sub(rf"{colour}\b", f"var(--c-{variable})", text, flags=re.IGNORECASE)
    # Plots share a page: ids must not meet.
    text = re.sub(r'\bid="', f'id="{plot.name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{plot.name}-", text)
    return text.replace("'DejaVu Sans'", "var(--font-plot)")
