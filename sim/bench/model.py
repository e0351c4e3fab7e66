"""How fast the host does a training step in a device's arithmetic, and whether its bits are those
of simulated Verilog."""

import time
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from ...hw.config import trainer
from ...sw.host.open import open_device
from ...sw.nn import exact, steps
from ...sw.nn.recipes import LAST
from ...sw.nn.recipes.bdwp import Bdwp
from .train import NETWORKS, NUMBERS, begun

KEPT, BATCH = 2, 64
RTL_STEPS, STEPS = 2, 10


def rows(only: str) -> Iterator[dict]:
    _, layers = NETWORKS["cnn"]
    config = trainer("small")
    masters, each, x, targets = begun(BATCH, layers, KEPT)
    host, *_ = begun(BATCH, layers, KEPT)
    with open_device("sim", config=config) as device:
        made = steps.compiled(config, BATCH, masters, each, NUMBERS)
        made.load(device, masters)
        made.run(device, x, targets)
        began = time.process_time()
        for _ in range(1, RTL_STEPS):
            made.run(device, x, targets)
        rtl = (time.process_time() - began) / (RTL_STEPS - 1)
        made.take(device, masters)

    def step() -> None:
        exact.step(host, [_used(m.weights, n) for m, n in zip(host, each, strict=True)], *data)

    data = x, targets, NUMBERS
    for _ in range(RTL_STEPS):
        step()
    pairs = zip(masters, host, strict=True)
    names = "weights", "speed", "bias", "bias_speed"
    wrong = sum(
        int((getattr(one, name).view("u4") != getattr(other, name).view("u4")).sum())
        for one, other in pairs
        for name in names
    )
    # One thread, as the simulation has: others spin while they wait, and that is CPU time too.
    with threadpool_limits(1):
        began = time.process_time()
        for _ in range(STEPS):
            step()
        model = (time.process_time() - began) / STEPS
    yield {
        "name": "model.speed_over_rtl.cnn",
        "value": rtl / model,
        "unit": "x",
        "target": 100,
        "better": "higher",
        "note": f"batch {BATCH}, by CPU time: {1000 * rtl:.0f} ms a step on simulated Verilog of "
        f"small, {1000 * model:.1f} ms on the host",
    }
    yield {
        "name": "model.bit_mismatches",
        "value": wrong,
        "unit": "numbers",
        "target": 0,
        "better": "lower",
        "note": f"weights, biases and momenta after {RTL_STEPS} steps of the same",
    }


def _used(weights: np.ndarray, kept: int) -> exact.Pair:
    """Forward and backward, of masters."""
    pruned = Bdwp(kept, 8).prune(weights, LAST)
    return pruned.forward.astype("f2"), pruned.backward.astype("f2")
