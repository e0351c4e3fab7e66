"""Trainings on simulated Verilog beside the host's in the device's arithmetic: how many of their
weights, biases, momenta and losses differ in a bit. None may."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...hw.config import Config, trainer
from ...sw.host.device import Device
from ...sw.host.open import open_device
from ...sw.nn import data as datasets
from ...sw.nn.data import Dataset
from ...sw.nn.on_device import OnDevice
from ...sw.nn.on_model import OnModel
from ...sw.nn.trainer import Recipe, Training
from .kept import write

FILE = Path("docs") / "bits.json"
MLP = Recipe(hidden=(128, 128), epochs=1, batch=64, pull=0, seed=7)
CNN = Recipe(
    architecture="cnn", channels=(16, 32, 32), epochs=1, batch=16, rate=0.05, pull=0, seed=7
)
EPOCH = 10**6
"""Steps of which no epoch has so many."""


@dataclass(frozen=True)
class Case:
    """A training on `small`, with what training needs, by a recipe for so many steps, at most."""

    recipe: Recipe
    method: str
    steps: int

    @property
    def name(self) -> str:
        return f"{self.recipe.architecture}.{self.method}"


CASES = tuple(
    Case(recipe, method, steps)
    for recipe, steps in ((MLP, EPOCH), (CNN, 50))
    for method in ("bdwp", "kept")
)
"""`kept` freezes its masks after 30 % of an epoch's steps."""


def result(case: Case, data: Dataset, device: Device, told: Callable[[int], None]) -> dict:
    """Train both; how many steps, and how many numbers of how many differ then, or differed in a
    step's loss."""
    recipe = Recipe(**{**vars(case.recipe), "method": case.method})
    there, here = (Training.begun(data, recipe) for _ in range(2))
    OnDevice(there, device)
    OnModel(here)
    losses = 0
    while not there.done and there.step < case.steps:
        there.advance()
        here.advance()
        losses += there.losses[-1:] != here.losses[-1:]
        told(there.step)
    there.settle()
    different, numbers = compared(here, there)
    return {
        "name": case.name,
        "steps": there.step,
        "numbers": numbers,
        "different": different + losses,
        "skipped": there.skipped,
    }


def compared(here: Training, there: Training) -> tuple[int, int]:
    """Numbers of two trainings that differ in a bit, and how many there are: of weights that a
    mask leaves out for good none."""
    different = numbers = 0
    layers = zip(here.layers, there.layers, here.learning, there.learning, strict=True)
    for mine, its, learns, other in layers:
        mask = getattr(mine.rule, "frozen", None)
        used = np.ones(mine.weights.shape, bool) if mask is None else mask
        for one, two in (
            (mine.weights[used], its.weights[used]),
            (learns.weights.speed[used], other.weights.speed[used]),
            (mine.bias, its.bias),
            (learns.bias.speed, other.bias.speed),
        ):
            different += int((one.view(np.uint32) != two.view(np.uint32)).sum())
            numbers += one.size
    return different, numbers


def remade(path: Path, told: Callable[[Case, int], None], **about: str) -> dict:
    """Train all, and keep what came of it."""
    data, config = datasets.load("digits", None), device_config()
    with open_device("sim", config=config) as device:
        rows = [result(case, data, device, lambda n, c=case: told(c, n)) for case in CASES]
    kept = {"device": config.name, "runs": rows} | about
    write(path, kept)
    return kept


def device_config() -> Config:
    """Of the simulated device."""
    return trainer("small")
