"""What is kept of trainings as a page, docs/accuracy.md: a table for each data set and network."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from ...sw.lib import files
from ...sw.nn.trainer import METHODS, Recipe
from .runs import channels_of

PATTERNS = ((2, 4), (1, 4), (2, 8), (1, 8))
NETWORKS = {
    "mlp": "perceptron of {} and {} hidden values",
    "cnn": "convolutions of {} and {} channels, {} hidden values",
}
HEAD = """# Accuracy of recipes

Per cent of the test images that come out right, mean and deviation of all seeds (how many stands in
brackets where they are fewer than dense's). Trained in the device's arithmetic, bit for bit what a
device does; each training is kept in `accuracy.json` beside this page, with its seed, loss, command
and commit. The commands below write this page; [training](training.md) tells what recipes do.
"""


def write(path: Path, kept: dict) -> None:
    """Beside the trainings that are kept, as a page."""
    files.write(path, made(kept))


def made(kept: dict) -> str:
    """The page's text."""
    sections: dict[tuple, list[dict]] = {}
    for row in kept["runs"]:
        of = row["data"], row["architecture"], row["epochs"], row["batch"]
        sections.setdefault(of, []).append(row)
    order = sorted(sections, key=lambda of: (of[0], list(NETWORKS).index(of[1]), of[2:]))
    return "\n".join([HEAD, *(_section(of, sections[of]) for of in order)])


def _section(of: tuple, rows: Sequence[dict]) -> str:
    data, architecture, epochs, batch = of
    dense = _found(rows, "dense", 8, 8)
    patterns = [(n, m) for n, m in PATTERNS if any((r["n"], r["m"]) == (n, m) for r in rows)]
    methods = [name for name in METHODS if name != "dense"]
    found = {(name, *nm): _found(rows, name, *nm) for name in methods for nm in patterns}
    widths = Recipe.hidden if architecture == "mlp" else channels_of(data)
    lines = [f"## {data}: {NETWORKS[architecture].format(*widths)}", ""]
    lines += [f"{epochs} epochs, batch {batch}. Dense: {_cell(dense, 0)} ({len(dense)} seeds).", ""]
    lines += ["| `--method` | " + " | ".join(f"{n}:{m}" for n, m in patterns) + " |"]
    lines += ["|---" * (1 + len(patterns)) + "|"]
    for name in methods:
        cells = [_cell(found[name, *nm], len(dense)) for nm in patterns]
        if any(cells):
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    commands = sorted({row["command"] for row in rows})
    return "\n".join([*lines, "", *(f"    {command}" for command in commands), ""])


def _found(rows: Sequence[dict], method: str, n: int, m: int) -> list[float]:
    of = method, n, m
    return [row["accuracy"] for row in rows if (row["method"], row["n"], row["m"]) == of]


def _cell(found: Sequence[float], seeds: int) -> str:
    """Mean and deviation, and how many there are if these are fewer than `seeds`."""
    if not found:
        return ""
    spread = f" ± {statistics.stdev(found):.2f}" if found[1:] else ""
    few = f" ({len(found)})" if len(found) < seeds else ""
    return f"{statistics.mean(found):.2f}{spread}{few}"
