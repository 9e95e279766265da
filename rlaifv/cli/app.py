"""The commands of `rlaifv`, put together."""

from __future__ import annotations

import typer

from rlaifv.cli import export, lineage, reporting, runs, scoring, serving, status, training, version

app = typer.Typer(
    help="Make multimodal models hallucinate less, by themselves (RLAIF-V).",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use. Every command has --json.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ALIGN, _JUDGE, _LOOK, _OTHER = "Align a model", "Judge answers", "Look at results", "Other"

app.command("run", rich_help_panel=_ALIGN)(runs.run)
app.command("resume", rich_help_panel=_ALIGN)(runs.resume)
app.command("cancel", rich_help_panel=_ALIGN)(status.cancel)
app.command("status", rich_help_panel=_ALIGN)(status.status)
app.command("train", rich_help_panel=_ALIGN)(training.train)
app.command("score", rich_help_panel=_JUDGE)(scoring.score)
app.command("rank", rich_help_panel=_JUDGE)(scoring.rank)
app.command("report", rich_help_panel=_LOOK)(reporting.report)
app.command("export", rich_help_panel=_LOOK)(export.export)
app.command("lineage", rich_help_panel=_LOOK)(lineage.lineage)
app.command("serve", rich_help_panel=_OTHER)(serving.serve)
app.command("version", rich_help_panel=_OTHER)(version.version)
