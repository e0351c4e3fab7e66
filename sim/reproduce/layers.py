"""Cycles of single layers' products on simulated Verilog, kept as JSON: what recipes' products
cost."""

import json
from pathlib import Path

from ...sw.lib import files
from ...sw.nn.recipes.rule import PRODUCTS, Moment, Rule
from ..bench import layers

FILE = Path("docs") / "layers.json"
STEPS = 1000
"""That a training is taken to have, to see what its recipe does when."""


def remade(path: Path, **about: str) -> dict:
    """Measure all, and keep what came of it."""
    kept = {"array": layers.ARRAY, "layers": dict(layers.measured())} | about
    files.write(path, json.dumps(kept, indent=1) + "\n")
    return kept


def read(path: Path) -> dict:
    """What is kept; no layers if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"layers": {}}


def speedup(kept: dict, rule: Rule) -> float:
    """Of the three products of all layers with one of another, over a whole training by a recipe,
    against dense ones; between the two N that were measured, cycles are taken to grow evenly."""
    dense, sparse = (
        {
            product: sum(layer[product.lower()][n] for layer in kept["layers"].values())
            for product in PRODUCTS
        }
        for n in ("8", "2")
    )
    total = 0.0
    for step in range(STEPS):
        for product, n in rule.products(Moment(step, STEPS)).items():
            share = (n / rule.m - 0.25) / 0.75
            total += sparse[product] + share * (dense[product] - sparse[product])
    return STEPS * sum(dense.values()) / total
