"""Cross coverage: the cross bins of the device's features on small arrays in Verilator, exact."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np

from ...hw.config import Accumulation, Config
from ...hw.core import Core
from ...hw.formats import BF16, E4M3, E5M2, FP16, INT4, INT8, ROUNDED, OutputFormat
from ...sim.golden import epilogue, numbers
from ...sim.golden.accumulation import ARITHMETIC
from ..compiler import nm, packing
from ..compiler.elements import to_raw
from ..compiler.scaling import fitted
from ..compiler.settings import settings_of
from ..errors import HeddleError
from ..host import driver
from ..host.device import Device
from ..transports.simulated import SimulatedTransport, Stalls
from .coverage import DIMENSIONS, GROUP, Coverage

PAGES = {"activation_groups": 16, "weight_slots": 64, "schedule_records": 16}
CONFIGS = (
    Config("int8", 4, 3, INT8, settings_pages=4, **PAGES | {"weight_slots": 16}),
    Config("fp16", 2, 4, FP16, lanes=2, interleave=2, columns_per_epilogue=4, **PAGES),
    Config(
        "fp32",
        2,
        2,
        FP16,
        accumulation=Accumulation.FP32,
        interleave=5,
        columns_per_epilogue=2,
        **PAGES | {"weight_slots": 128},
    ),
    Config("e4m3", 3, 5, E4M3, **PAGES),
    Config("e5m2", 1, 1, E5M2, **PAGES | {"activation_groups": 32}),
    Config("int4", 2, 3, INT4, lanes=2, **PAGES),
    Config("bf16", 2, 2, BF16, **PAGES),
)
"""One small array for each arithmetic, of different shapes, stream widths and interleaving. All
tiles of a cross bin fit into a page: they follow each other without the host."""
STALLS = Stalls(0.3, 0.3, seed=5)


class Mismatch(HeddleError, AssertionError):
    """The hardware's product is not the golden model's."""


def golden_product(config: Config, x, weights, bias, scale, relu: bool, output) -> np.ndarray:
    """The raw outputs of a product by the golden model alone, without driver or device."""
    arithmetic = ARITHMETIC[config.accumulation]
    raw = to_raw(x, config.format)
    sums = arithmetic.matmul(config.format, raw, weights.unpack())
    sums = arithmetic.integers(config.format, sums)
    s = settings_of(config, weights.shape[1], bias, scale)
    columns = (np.array(v, object) for v in (s.bias, s.scale, s.exponent))
    return epilogue.finish(sums, *columns, relu, output).raw


def compare(device: Device, x, weights, **options) -> driver.Stats:
    """Multiply on `device`; raises `Mismatch` unless every bit is the golden model's."""
    got, stats = driver.matmul(device, x, weights, raw=True, **options)
    settings = {"bias": None, "scale": None, "relu": False, "output": OutputFormat.FP32} | options
    wrong = np.count_nonzero(got != golden_product(device.config, x, weights, **settings))
    if wrong:
        raise Mismatch(
            f"{wrong} of {got.size} outputs of {device.config.name!r} differ from the golden "
            f"model, for [B, K, C] = {list(stats.shape)}, pattern {weights.pattern}, {options}"
        )
    return stats


def random_product(
    device: Device, rng: np.random.Generator, n: int | None, shape, **options
) -> tuple[packing.PackedWeights, driver.Stats]:
    """`compare` a random product of `shape` [B, K, C] with n:8 weights (None: random zeros)."""
    rows, inner, outputs = shape
    x, w = rng.standard_normal((rows, inner)), rng.standard_normal((inner, outputs))
    # Large enough that no kept weight is rounded to zero.
    w = np.copysign(np.maximum(np.abs(w), 2.0**-6), w)
    if not device.config.format.is_float:
        spread = numbers.largest_value(device.config.format) / 3
        w = np.copysign(np.abs(w) * spread + 1, w)
        x, w = (fitted(v, device.config.format) for v in (x * spread, w))
    w = np.where(rng.random(w.shape) < 0.3, w, 0) if n is None else nm.prune(w, n, GROUP)
    weights = packing.pack(w, device.config.format, n, GROUP)
    return weights, compare(device, x, weights, **options)


def cross(config: Config) -> Coverage:
    """Coverage of one array: each cross bin is made, compared, and counted as what it was.

    Raises `Mismatch` at the first output that is wrong.
    """
    coverage, rng = Coverage(), np.random.default_rng(8)
    # Tiles of no weights end R·T cycles apart; the last of so many ends as the first one drains.
    tiles = 1 - (-Core.drain_delay(config) // config.tile_rows)
    outputs = min(2, config.tile_columns)
    with Device(SimulatedTransport(config, stalls=STALLS), config.name) as device:
        for n in DIMENSIONS["n"]:
            for inner in (2 * GROUP, 2 * GROUP - 3):
                for blocks in (1, tiles):
                    for output in ROUNDED:
                        for relu in (True, False):
                            weights, stats = random_product(
                                device,
                                rng,
                                n,
                                (blocks * config.rows, inner, outputs),
                                output=output,
                                relu=relu,
                            )
                            coverage.observe(config, weights, stats, output, relu)
    return coverage


def measure(on_progress: Callable[[int], None] | None = None) -> Coverage:
    """Coverage of all of `CONFIGS`, as many at a time as there are cores.

    `on_progress` is told how many are done. Raises `Mismatch`; `DeviceError` if no simulator can
    be built.
    """
    total = Coverage()
    workers = min(len(CONFIGS), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(cross, config) for config in CONFIGS]
        for done, job in enumerate(as_completed(jobs), 1):
            total.hits += job.result().hits
            if on_progress:
                on_progress(done)
    return total
