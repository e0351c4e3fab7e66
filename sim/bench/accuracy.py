"""What recipes lose of the dense networks' accuracy, and whether simulated Verilog trains to the
same bits as the host: from what `make reproduce` kept, for it takes hours."""

from collections.abc import Iterator
from pathlib import Path

from ..reproduce import bits, runs
from ..reproduce.kept import read
from .named import cost

FILE = Path(__file__).resolve().parents[2] / runs.FILE
SEEDS = 5
MOST_LOST = 0.5
"""Per cent."""
METHODS = "bdwp", "kept"


def rows(only: str) -> Iterator[dict]:
    kept = read(FILE.with_name(bits.FILE.name))
    if kept["runs"]:
        what = ", ".join(f"{row['name']} {row['steps']} steps" for row in kept["runs"])
        numbers = sum(row["numbers"] for row in kept["runs"])
        wrong = sum(row["different"] for row in kept["runs"])
        note = (
            f"of {numbers:,} weights, biases and momenta after trainings on simulated Verilog "
            f"({what}), and of the losses; kept results of {kept['command']}"
        )
        yield cost("train.bit_mismatches", wrong, "numbers", 0, note)
    found = runs.summary(read(FILE))
    for (*trained, method, n, m), (mean, deviation, seeds) in sorted(found.items()):
        dense = found.get((*trained, "dense", 8, 8))
        if method not in METHODS or (n, m) != (2, 8) or not dense or min(seeds, dense[2]) < SEEDS:
            continue
        data, architecture, epochs, _ = trained
        name = f"train.accuracy_lost.{method}.2of8.{data}.{architecture}"
        note = (
            f"{mean:.2f} +- {deviation:.2f}, dense {dense[0]:.2f} +- {dense[1]:.2f}; "
            f"{epochs} epochs, {seeds} seeds; kept results of `make reproduce`"
        )
        yield cost(name, dense[0] - mean, "%", MOST_LOST, note)
