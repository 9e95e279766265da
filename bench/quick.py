"""The regression guard, `make bench-quick`: small sizes, ratios only, with wide margins; 1 where one is missed.

A ratio far below its usual size says that a way to be fast was lost (a prefix read again, a picture encoded twice), which no
other test would notice. Times are never asserted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results import Comparison, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A bench in a small size, and the least ratio of its records whose name or baseline holds a text."""

    module: str
    arguments: str
    floors: tuple[tuple[str, float], ...]


GUARDS = (
    Guard(
        module="bench.labeler",
        arguments="--quick --rounds 2",
        floors=(("published", 4.0),),
    ),
    Guard(
        module="bench.trainer",
        arguments="--grids 16 --pairs 8 --batch 4 --epochs 2 --layers 4 --dtype fp32 --against plain --no-peaks --rounds 2",
        floors=(("plain", 1.5),),
    ),
    Guard(module="bench.loop", arguments="--quick --rounds 1 --seconds 6", floors=(("scripted", 1.2),)),
    Guard(
        module="bench.growth",
        arguments="--base 16 --factors 1 10 --databases SQLite --rounds 1",
        floors=(("growth", 0.3), ("orchestrator", 0.5)),
    ),
    Guard(
        module="bench.wire",
        arguments="--clients 16 --prompts 8 --rounds 1",
        floors=(("bytes", 20.0), ("16 clients", 4.0)),
    ),
)


def check(guard: Guard, found: Sequence[Comparison]) -> list[str]:
    """What is wrong: sides that differ, ratios under their floor, floors that nothing was measured for."""
    wrong = [
        f"{one.name}, {one.baseline}: the sides differ by {one.max_abs_diff:.2g}" for one in found if not one.equal
    ]
    for text, floor in guard.floors:
        held = [one for one in found if text in one.name or text in one.baseline]
        if not held:
            wrong.append(f"{guard.module}: no record about {text!r}")
        wrong += [
            f"{one.name}, {one.baseline}: {one.ratio:.2f}x is under {floor}x" for one in held if one.ratio < floor
        ]
    return wrong


def main() -> int:
    """Run all guards, each in a process of its own; the exit code."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, guard in enumerate(GUARDS):
            results = Path(folder) / f"{number}.json"
            began = time.monotonic()
            command = [sys.executable, "-m", guard.module, *guard.arguments.split(), "--results", str(results)]
            code = subprocess.run(command, check=False).returncode
            trouble = check(guard, read(results))
            wrong += trouble or ([f"{guard.module} ended with {code}"] if code else [])
            sys.stdout.write(
                f"{guard.module}: {'WRONG' if trouble or code else 'ok'}, {time.monotonic() - began:.0f} s\n\n"
            )
            sys.stdout.flush()
    sys.stdout.writelines(f"WRONG {line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
