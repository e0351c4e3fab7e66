"""Trainings by every recipe in a device's arithmetic, and what became of them, kept as JSON."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ...sw.nn import data as datasets
from ...sw.nn import on_device
from ...sw.nn.data import Dataset
from ...sw.nn.on_model import OnModel
from ...sw.nn.trainer import METHODS, Recipe, Training, rate_of
from .kept import write

FILE = Path("docs") / "accuracy.json"
NARROW = 8, 16, 32


@dataclass(frozen=True)
class Run:
    """One training: all that its accuracy depends on, but for the images."""

    data: str
    architecture: str
    method: str
    n: int
    m: int
    epochs: int
    batch: int
    seed: int

    @property
    def recipe(self) -> Recipe:
        rate = rate_of(self.architecture, self.method)
        pull = 0.0 if self.method in on_device.METHODS else Recipe.pull
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own.pop("data")
        return Recipe(**own, channels=channels_of(self.data), rate=rate, pull=pull)


def channels_of(data: str) -> tuple[int, int, int]:
    """Of the convolutions that a data set's images are tried with: half as many for 28 x 28 sets,
    whose images have twelve times the pixels of the digits, and are thirty times as many."""
    return NARROW if data in datasets.PLACES else Recipe.channels


def wanted(
    data: str,
    architecture: str,
    methods: Sequence[str],
    patterns: Sequence[tuple[int, int]],
    epochs: int,
    batch: int,
    seeds: int,
) -> Iterator[Run]:
    """Every method with every pattern, the dense one once, for each seed: a seed at a time, so
    that what is there can be compared at any time."""
    for seed in range(1, seeds + 1):
        for method in methods:
            for n, m in patterns if method != "dense" else [(8, 8)]:
                yield Run(data, architecture, method, n, m, epochs, batch, seed)


def result(run: Run, data: Dataset) -> dict:
    """Train, and tell how many of the test images come out right, in per cent."""
    training = Training.begun(data, run.recipe)
    OnModel(training)
    while not training.done:
        training.advance()
    loss, accuracy = training.curve[-1]
    told = {"accuracy": round(100 * accuracy, 4), "loss": loss, "skipped": training.skipped}
    return asdict(run) | told | {"images": data.fingerprint}


def missing(runs: Sequence[Run], kept: dict, data: Dataset) -> list[Run]:
    """Those that are not kept, or of other images."""
    there = {key(row) for row in kept["runs"] if row["images"] == data.fingerprint}
    return [run for run in runs if key(asdict(run)) not in there]


def add(path: Path, kept: dict, row: dict, **about: str) -> None:
    """Keep one more, in place of an older one of the same."""
    rows = [old for old in kept["runs"] if key(old) != key(row)]
    kept["runs"] = sorted([*rows, row | about], key=key)
    write(path, kept)


def key(row: dict) -> tuple:
    """What a training is, in a row."""
    return tuple(row[field.name] for field in fields(Run))


def summary(kept: dict) -> dict[tuple, tuple[float, float, int]]:
    """Mean, standard deviation and number of seeds' accuracies, by data, architecture, epochs,
    batch, method, N and M."""
    groups: dict[tuple, list[float]] = {}
    for row in kept["runs"]:
        names = "data", "architecture", "epochs", "batch", "method", "n", "m"
        groups.setdefault(tuple(row[name] for name in names), []).append(row["accuracy"])
    return {
        name: (statistics.mean(found), statistics.stdev(found) if found[1:] else 0.0, len(found))
        for name, found in groups.items()
    }


def check(methods: Sequence[str]) -> None:
    """Raises `ValueError` for a method that is not there."""
    if unknown := [method for method in methods if method not in METHODS]:
        raise ValueError(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")
