"""What is kept of trainings as a page, docs/accuracy.md: a table for each data set and network."""

from collections.abc import Iterable
from pathlib import Path

from ...sw.lib import files
from ...sw.nn.trainer import METHODS, Recipe
from .runs import channels_of, summary

Found = tuple[float, float, int]
"""Mean, deviation and number of seeds' accuracies."""
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
    found, commands = summary(kept), {}
    for row in kept["runs"]:
        of = row["data"], row["architecture"], row["epochs"], row["batch"]
        commands.setdefault(of, set()).add(row["command"])
    order = sorted(commands, key=lambda of: (of[0], list(NETWORKS).index(of[1]), of[2:]))
    return "\n".join([HEAD, *(_section(of, found, commands[of]) for of in order)])


def _section(of: tuple, found: dict[tuple, Found], commands: Iterable[str]) -> str:
    data, architecture, epochs, batch = of
    dense = found.get((*of, "dense", 8, 8))
    seeds = dense[2] if dense else 0
    names = [name for name in METHODS if name != "dense"]
    patterns = [nm for nm in PATTERNS if any((*of, name, *nm) in found for name in names)]
    widths = Recipe.hidden if architecture == "mlp" else channels_of(data)
    lines = [f"## {data}: {NETWORKS[architecture].format(*widths)}", ""]
    lines += [f"{epochs} epochs, batch {batch}. Dense: {_cell(dense, 0)} ({seeds} seeds).", ""]
    lines += ["| `--method` | " + " | ".join(f"{n}:{m}" for n, m in patterns) + " |"]
    lines += ["|---" * (1 + len(patterns)) + "|"]
    for name in names:
        cells = [_cell(found.get((*of, name, *nm)), seeds) for nm in patterns]
        if any(cells):
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"    {command}" for command in sorted(commands)), ""])


def _cell(found: Found | None, seeds: int) -> str:
    """Mean and deviation, and how many there are if these are fewer than `seeds`."""
    if found is None:
        return ""
    mean, deviation, count = found
    spread = f" ± {deviation:.2f}" if count > 1 else ""
    return f"{mean:.2f}{spread}" + (f" ({count})" if count < seeds else "")
