"""What each recipe is worth in hardware, as one picture: accuracy lost against how much faster a
step's products are."""

import math
from pathlib import Path

from ...sw.nn.recipes import RECIPES
from ...sw.nn.recipes.rule import PRODUCTS, Moment, Rule
from ...sw.report import pictures

FILE = Path("docs") / "recipes.svg"
POINT, LINE = "#1f6f8b", "#999999"
N, M = 2, 8
STEPS = 1000
"""That a training is taken to have, to see what its recipe does when."""


def draw(path: Path, summary: dict[tuple, tuple[float, float, int]], kept: dict, of: tuple) -> None:
    """Of the trainings `of` (data, architecture, epochs, batch) that `runs.summary` has, by
    `speedup`. Raises `DataError` without matplotlib."""
    dense, deviation, seeds = summary[(*of, "dense", M, M)]
    # The same picture is the same file.
    same = {"style": {"svg.hashsalt": "heddle"}, "metadata": {"Date": None}}
    with pictures.drawn(path, 7.6, 4.8, **same) as axes:
        axes.spines["right"].set_visible(False)
        axes.axhspan(-deviation, deviation, color=LINE, alpha=0.15, lw=0)
        axes.axhline(0, color=LINE, lw=0.8)
        points: dict[str, tuple[float, float]] = {}
        for name, kind in RECIPES.items():
            found = summary.get((*of, name, N, M))
            if found is None or name == "dense":
                continue
            faster, lost = speedup(kept, kind(N, M)), dense - found[0]
            axes.errorbar(faster, lost, found[1], fmt="o", color=POINT, elinewidth=0.8, capsize=2)
            points[name] = faster, lost
        for name, place in _places(points).items():
            line = {"arrowstyle": "-", "color": LINE, "lw": 0.6}
            axes.annotate(name, points[name], place, fontsize=9, va="center", arrowprops=line)
        axes.set_xlabel("products of a training step, times as fast as dense")
        axes.set_ylabel("accuracy lost against dense, %")
        axes.set_xlim(1, 0.3 + max(x for x, _ in points.values()))
        data, architecture, epochs, _ = of
        axes.set_title(
            f"{N}:{M}, {data}, {architecture}, {epochs} epochs, {seeds} seeds: mean and deviation; "
            "grey: dense's",
            fontsize=9,
        )


def _places(points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Where names stand: on the right of all points that are near each other, in their order."""
    wide, high = 0.45, 0.13
    made: dict[str, tuple[float, float]] = {}
    columns: list[list[str]] = []
    for name in sorted(points, key=lambda name: points[name]):
        if not columns or points[name][0] - points[columns[-1][-1]][0] > wide:
            columns.append([])
        columns[-1].append(name)
    for column in columns:
        x, above = points[column[-1]][0] + 0.1, -math.inf
        for name in sorted(column, key=lambda name: (points[name][1], -points[name][0])):
            above = max(points[name][1], above + high)
            made[name] = x, above
    return made


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
