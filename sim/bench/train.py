"""A whole training step on simulated Verilog: its cycles by the hardware's counters, with N of M
weights and dense, everything in: loss, gradients, update and pruning."""

from collections.abc import Iterator, Sequence

import numpy as np

from ...hw.config import Config, trainer
from ...sw.compiler import nm
from ...sw.compiler.walks import Kernel
from ...sw.host.device import Device
from ...sw.host.open import open_device
from ...sw.nn import exact, steps
from ...sw.nn.exact import Master, Numbers
from ...sw.nn.held import Frozen
from ...sw.nn.stages import Stage
from .named import cost, row, wanted

NUMBERS = Numbers(rate=0.05, momentum=0.9, decay=1e-4)
SAME = Kernel((3, 3), padding=(1, 1))
HALVES = Kernel((3, 3), (2, 2), (1, 1))
MLP = [(64, 128, Stage()), (128, 128, Stage()), (128, 16, Stage())]
CNN = [
    (8, 16, Stage(8, 8, SAME)),
    (16, 32, Stage(8, 8, HALVES)),
    (32, 32, Stage(4, 4, SAME, add=1, pool=4)),
    (32, 64, Stage()),
    (64, 16, Stage()),
]
NETWORKS: dict[str, tuple[int, list[tuple[int, int, Stage]]]] = {
    "mlp": (64, MLP),
    "cnn": (8, CNN),
    "mlp_batch8": (8, MLP),
    "cnn_batch1": (1, CNN),
}
"""Images or vectors in a batch; channels in and out of each layer, filled up to whole groups."""
ARRAYS = "small", "medium"
KEPT = (4, 2, 1)
FROZEN = 2
"""Weights of every 8 that are kept where masks are frozen, and only these have gradients."""
TARGETS = {
    "train.rtl_step.cnn.small.speedup.2of8": 1.65,
    "train.sparse_wu.kept.rtl_step.cnn.small.speedup.2of8": 2.6,
}
OF_LIMIT = 0.95
PREGENERATED = "cnn", "small", 2
"""Network, array and weights that are kept where pruning at use is measured too."""
DENSE_BELOW = 16
"""Channels of a layer that is dense in every recipe, as the last one is."""


def rows(only: str) -> Iterator[dict]:
    for array in ARRAYS:
        config = trainer(array)
        for name, (batch, layers) in NETWORKS.items():
            prefix = f"train.rtl_step.{name}.{array}"
            frozen = f"train.sparse_wu.kept.rtl_step.{name}.{array}"
            prunes = (name, array) == PREGENERATED[:2] and any(
                wanted(f"train.{what}", only) for what in ("pregeneration", "update_overhead")
            )
            if not (wanted(prefix, only) or wanted(frozen, only) or prunes):
                continue
            with open_device("sim", config=config) as opened:
                dense = _step(opened, config, batch, layers, 8)
                macs = 3 * batch * sum(_macs(*layer) for layer in layers)
                macs -= batch * _macs(*layers[0])  # nothing goes back through the first layer
                share = macs / config.macs_per_cycle / dense["running"]
                note = f"batch {batch}; the multipliers' share is {share:.2f}; {_where(dense)}"
                yield cost(f"{prefix}.dense.cycles", dense["running"], "cycles", None, note)
                if wanted(frozen, only):
                    held = _step(opened, config, batch, layers, FROZEN, frozen=True)
                    yield from _against(frozen, FROZEN, dense, held)
                for kept in KEPT if wanted(prefix, only) or prunes else ():
                    sparse = _step(opened, config, batch, layers, kept)
                    yield from _against(prefix, kept, dense, sparse)
                    if (name, array, kept) == PREGENERATED:
                        at_use = _step(opened, config, batch, layers, kept, True)
                        yield _saved(sparse, at_use)
                        yield _overhead(sparse, *_apart(opened, config, batch, layers, kept))


def _against(prefix: str, kept: int, dense: dict, sparse: dict) -> Iterator[dict]:
    """Speed-ups, and what the array alone would reach, if it never waited."""
    speedup, limit = dense["running"] / sparse["running"], dense["slots"] / sparse["slots"]
    what = f"speedup.{kept}of8"
    target = TARGETS.get(f"{prefix}.{what}")
    note = f"{sparse['running']:,} cycles; {_where(sparse)}"
    yield row(prefix, what, speedup, target, note)
    of_limit = row(prefix, f"{what}.over_compute_limit", speedup / limit, OF_LIMIT)
    note = f"the limit is {limit:.2f}x: slots of the array, dense over sparse"
    yield of_limit | {"unit": "share", "note": note}


def _saved(ahead: dict[str, int], at_use: dict[str, int]) -> dict:
    """What it saves to prune weights when they have been updated, not before each product."""
    names = "vector_read", "vector_written"
    before, after = (sum(each[name] for name in names) for each in (at_use, ahead))
    saved = row("train.pregeneration", "bytes_saved", 1 - after / before)
    return saved | {
        "note": f"of the words that vector unit and pruner read and write, {before:,} if masters "
        f"are pruned before each product; the step takes {at_use['running']:,} cycles then, "
        f"{ahead['running']:,} otherwise"
    }


def _overhead(whole: dict[str, int], products: dict[str, int], change: dict[str, int]) -> dict:
    """What update and pruning add to a step."""
    total, alone, apart = (each["running"] for each in (whole, products, change))
    note = (
        f"of the step's {total:,} cycles; up to exact gradients in memory it takes {alone:,}, and "
        f"a program that updates and prunes by such {apart:,} more"
    )
    return cost("train.update_overhead", 1 - alone / total, "share", None, note)


def _apart(
    device: Device, config: Config, batch: int, layers: Sequence[tuple[int, int, Stage]], kept: int
) -> tuple[dict[str, int], dict[str, int]]:
    """The counters of a step that ends with exact gradients, and of the program that changes the
    masters by them."""
    masters, each, x, targets = begun(batch, layers, kept)
    made = steps.compiled(config, batch, masters, each, NUMBERS, whole=batch)
    made.load(device, masters)
    made.run(device, x, targets)
    products = made.run(device, x, targets)[1]
    gradients = [np.zeros(sums.shape[-2:], "<f4") for sums in made.gradients(device)]
    return products, made.apply(device, gradients)


def _where(counters: dict[str, int]) -> str:
    total = counters["running"]
    parts = {"array": counters["slots"], "vector unit and pruner": counters["vector_busy"]}
    return ", ".join(f"{name} at work in {n / total:.0%}" for name, n in parts.items())


def _macs(inputs: int, outputs: int, stage: Stage) -> int:
    height, width = stage.out
    return height * width * stage.kernel.taps * inputs * outputs


def begun(
    batch: int, layers: Sequence[tuple[int, int, Stage]], kept: int
) -> tuple[list[Master], list[int], np.ndarray, np.ndarray]:
    """Masters, how many of every 8 weights of each layer are kept, a batch and its targets."""
    rng = np.random.default_rng(1)
    masters = [_master(rng, *layer) for layer in layers]
    dense = [layer is layers[-1] or layer[0] < DENSE_BELOW for layer in layers]
    each = [8 if whole else kept for whole in dense]
    channels, _, stage = layers[0]
    x = rng.random((batch, stage.height, stage.width, channels)).astype(np.float16)
    targets = exact.targets_of(rng.integers(10, size=batch), 10)
    return masters, each, x, targets


def _step(
    device: Device,
    config: Config,
    batch: int,
    layers: Sequence[tuple[int, int, Stage]],
    kept: int,
    at_use: bool = False,
    frozen: bool = False,
) -> dict[str, int]:
    """The counters of one step, the second one, with so many of every 8 weights, which may be
    `frozen`."""
    masters, each, x, targets = begun(batch, layers, kept)
    made = steps.compiled(config, batch, masters, used_of(masters, each, frozen), NUMBERS, at_use)
    made.load(device, masters)
    made.run(device, x, targets)
    return made.run(device, x, targets)[1]


def used_of(masters: list[Master], each: list[int], frozen: bool) -> list[int | Frozen]:
    """What a step is compiled of: N of each layer, or what is kept from now on."""
    return [
        Frozen.of(nm.mask(master.weights, n, 8, 0), n, 8) if frozen and n < 8 else n
        for master, n in zip(masters, each, strict=True)
    ]


def _master(rng: np.random.Generator, inputs: int, outputs: int, stage: Stage) -> Master:
    rows = inputs * stage.kernel.taps
    weights = (rng.standard_normal((rows, outputs)) * np.sqrt(2 / rows)).astype(np.float32)
    bias = np.zeros(outputs, np.float32)
    return Master(weights, bias, np.zeros_like(weights), np.zeros_like(bias), stage)
