"""`python -m demo.gates start|labeler|dpo`: each prints its figures and exits with 1 if the gate is missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from demo.gates.dpo import DpoPlan, measure_dpo
from demo.gates.labeler import LEAST_SELF, LEAST_STRONGER, measure_labelers
from demo.gates.start import HALLUCINATION_RANGE, measure_start
from rlaifv.core.evaluation import Evaluation

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"

_DEFAULTS = DpoPlan()

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True)
Policy = Annotated[Path, typer.Option(help="Checkpoint folder of the unaligned policy.")]
Size = Annotated[int, typer.Option(min=10, help="Held-out scenes.")]
Seed = Annotated[int, typer.Option(min=0, max=9_999)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def start(policy: Policy = CHECKPOINTS / "policy", size: Size = 500, seed: Seed = 0, as_json: Json = False) -> None:
    """Gate a: the unaligned policy hallucinates at a real rate."""
    figures = measure_start(policy, size, seed)
    table = Table("figure", "value", title=f"Start: {size} greedy answers")
    low, high = HALLUCINATION_RANGE
    table.add_row(f"response-level hallucination ({low:.0%} to {high:.0%})", _response(figures.evaluation))
    table.add_row("mention-level hallucination", f"{figures.evaluation.mention_hallucination:.1%}")
    table.add_row("coverage", f"{figures.evaluation.coverage:.3f}")
    table.add_row("mean words", f"{figures.evaluation.mean_words:.1f}")
    table.add_row("claims per answer", f"{figures.claims_per_answer:.1f}")
    for name, share in figures.false_share_by_type.items():
        table.add_row(f"false {name} claims", f"{share:.1%}")
    _finish(table, figures.to_dict(), as_json)


@app.command()
def labeler(
    policy: Policy = CHECKPOINTS / "policy",
    stronger: Annotated[Path, typer.Option(help="Checkpoint folder of the stronger labeler.")] = CHECKPOINTS
    / "stronger",
    size: Size = 300,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Gate b: the labelers tell true from false claims of the policy within each claim type."""
    figures = measure_labelers(policy, stronger, size, seed)
    table = Table("labeler", "claim type", "true", "false", "balanced accuracy", "AUC", title="Labelers")
    for name, least, types in (
        ("stronger", LEAST_STRONGER, figures.stronger),
        ("self", LEAST_SELF, figures.own),
    ):
        for claim_type, row in types.items():
            accuracy = f"{row.balanced_accuracy:.3f} (at least {least:.2f})"
            table.add_row(name, claim_type, str(row.true_claims), str(row.false_claims), accuracy, f"{row.auc:.3f}")
    _finish(table, figures.to_dict(), as_json)


@app.command()
def dpo(
    policy: Policy = CHECKPOINTS / "policy",
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    prompts: Annotated[int, typer.Option(min=1, help="Fresh prompts per round.")] = _DEFAULTS.prompts,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = _DEFAULTS.learning_rate,
    epochs: Annotated[int, typer.Option(min=1)] = _DEFAULTS.epochs,
    size: Size = _DEFAULTS.held_out,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Gate c: DPO with true labels lowers held-out hallucination."""
    plan = DpoPlan(rounds=rounds, prompts=prompts, learning_rate=learning_rate, epochs=epochs, held_out=size, seed=seed)
    figures = measure_dpo(policy, plan)
    table = Table("round", "pairs", "response-level", "mention-level", "coverage", "words", title="DPO, true labels")
    for index, evaluation in enumerate(figures.evaluations):
        pairs = str(figures.pairs[index - 1]) if index else ""
        mention, covered = f"{evaluation.mention_hallucination:.1%}", f"{evaluation.coverage:.3f}"
        table.add_row(str(index), pairs, _response(evaluation), mention, covered, f"{evaluation.mean_words:.1f}")
    _finish(table, figures.to_dict(), as_json)


def _response(evaluation: Evaluation) -> str:
    low, high = evaluation.response_hallucination_ci95
    return f"{evaluation.response_hallucination:.1%} [{low:.1%}, {high:.1%}]"


def _finish(table: Table, figures: dict[str, Any], as_json: bool) -> None:
    console = Console()
    if as_json:
        console.print_json(json.dumps(figures))
    else:
        console.print(table)
        console.print("[green]passed[/]" if figures["passed"] else "[red]missed[/]")
    raise typer.Exit(0 if figures["passed"] else 1)


if __name__ == "__main__":
    app()
