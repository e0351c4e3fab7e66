"""What the order of commands costs: products whose K is split, and a bias of its own by output."""

from collections.abc import Iterator

import numpy as np

from ...hw.formats import FP16, OutputFormat
from ...sw.compiler import nm, packing
from ...sw.host import device, driver
from ...sw.host.driver import Stats
from ...sw.host.open import open_device
from .named import wanted

SPLIT = 128, 1536, 384
BIASED = 1024, 288, 32


def _product(opened: device.Device, shape: tuple[int, int, int], n: int, bias: bool) -> Stats:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(shape[:2]), rng.standard_normal(shape[1:])
    weights = packing.pack(nm.prune(w, n, 8), FP16, n, 8)
    offsets = rng.standard_normal(shape[2]) if bias else None
    return driver.matmul(opened, x, weights, output=OutputFormat.FP16, bias=offsets)[1]


def causes(stats: Stats) -> str:
    """Where cycles went, for a row's note."""
    parts = {k: v for k, v in stats.causes.items() if v and k != "work"}
    return ", ".join(f"{k} {v}" for k, v in parts.items())


def rows(only: str) -> Iterator[dict]:
    for name in ("small", "medium"):
        prefix = f"plan.split_k.{'x'.join(map(str, SPLIT))}.{name}"
        if wanted(prefix, only):
            yield from _split(prefix, name)
    prefix = f"plan.bias_overhead.{'x'.join(map(str, BIASED))}"
    if wanted(prefix, only):
        yield from _biased(prefix)


def _split(prefix: str, name: str) -> Iterator[dict]:
    with open_device("sim", name) as opened:
        dense, sparse = (_product(opened, SPLIT, n, False) for n in (8, 2))
    yield {
        "name": f"{prefix}.dense_utilisation",
        "value": dense.utilisation,
        "unit": "share",
        "target": 0.97,
        "better": "higher",
        "note": causes(dense),
    }
    yield {
        "name": f"{prefix}.2of8.speedup",
        "value": dense.cycles / sparse.cycles,
        "unit": "x",
        "target": None,
        "better": "higher",
        "note": "; ".join(
            ["ideal 4"]
            + ["more than that: the dense run wastes cycles"] * (dense.cycles > 4 * sparse.cycles)
            + [causes(sparse)]
        ),
    }


def _biased(prefix: str) -> Iterator[dict]:
    with open_device("sim", "small") as opened:
        plain, biased = (_product(opened, BIASED, 2, bias) for bias in (False, True))
    yield {
        "name": prefix,
        "value": biased.cycles / plain.cycles,
        "unit": "x",
        "target": 1.03,
        "better": "lower",
        "note": f"2:8 on small, {biased.cycles} against {plain.cycles} cycles; {causes(biased)}",
    }
