"""Utilisation and speed-up of products whose operands and results stay in tensor memory, and what
side operands and exact sums cost them, by the hardware's counters."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, INT8, Format, OutputFormat
from ...hw.isa.registers import STALLS
from ...sw.compiler import nm, packing
from ...sw.compiler.elements import to_raw
from ...sw.compiler.program import Builder
from ...sw.compiler.settings import settings_of
from ...sw.compiler.tensors import Tensor
from ...sw.compiler.walks import Images, Kernel
from ...sw.host import programs
from ...sw.host.open import open_device
from ...sw.nn import stages
from .named import row, wanted
from .util import PATTERNS, REASONS, SHAPES, configuration

TARGETS = {
    "8x8.gemm64.dense": 0.97,
    "16x16.gemm128.dense": 0.97,
    "16x16.conv3x3_64_56x56.dense": 0.97,
    **{
        f"{shape}.{n}of8.speedup": target
        for shape in ("8x8.gemm64", "16x16.gemm128", "16x16.conv3x3_64_56x56")
        for n, target in ((4, 1.95), (2, 3.7), (1, 6.8))
    },
}
CONVOLUTIONS = {"16x16.conv3x3_64_56x56": (56, 64, Kernel((3, 3), padding=(1, 1)))}
"""Pixels of a side, channels in and out, window."""
BESIDE = ("8x8.gemm64", "16x16.gemm128")
"""Shapes that are also measured with side operands; the first one with RAW sums, for which the
preset of the other has no room."""
ROOM = 1 << 15
"""Words of tensor memory where a shape needs more than the preset has."""


def rows(only: str) -> Iterator[dict]:
    for format in (FP16, INT8):
        for name, shape in SHAPES.items():
            prefix = f"mem.{format.name}.{name}"
            if not wanted(prefix, only):
                continue
            config = fitting(name.partition(".")[0], format, shape)
            with open_device("sim", config=config) as opened:
                cycles = yield from by_pattern(
                    prefix, partial(_product, opened, config, format, shape)
                )
                for n in (8, 2) if name in BESIDE else ():
                    yield from _beside(opened, config, format, name, n, cycles[n])
    yield from _convolutions(only)


def by_pattern(
    prefix: str, measure: Callable[[int], tuple[float, int, str]]
) -> Generator[dict, None, dict[int, int]]:
    """Dense, and the speed-up of each pattern over it; returns the cycles by N of 8. `measure`
    gives the share of the multipliers' cycles that is used, the cycles, and a note."""
    name = prefix.split(".", 2)[2]
    cycles, utilisation = {}, 0.0
    for n in (8, *PATTERNS):
        share, cycles[n], note = measure(n)
        note = "; ".join(filter(None, (REASONS.get(name, ""), note)))
        if n == 8:
            utilisation = share
            yield row(prefix, "dense", share, TARGETS.get(f"{name}.dense"), note)
        else:
            what, gain = f"{n}of8.speedup", cycles[8] / cycles[n]
            yield row(prefix, what, gain, TARGETS.get(f"{name}.{what}"), note)
            yield row(prefix, f"{n}of8.dense_utilisation", utilisation)
    return cycles


def _convolutions(only: str) -> Iterator[dict]:
    for name, (side, channels, kernel) in CONVOLUTIONS.items():
        prefix = f"mem.fp16.{name}"
        if not wanted(prefix, only):
            continue
        config = replace(
            configuration(name.partition(".")[0], FP16), name="conv", tensor_words=ROOM
        )
        with open_device("sim", config=config) as opened:
            yield from by_pattern(
                prefix, partial(_convolution, opened, config, side, channels, kernel)
            )


def _convolution(
    opened, config: Config, side: int, channels: int, kernel: Kernel, n: int
) -> tuple[float, int, str]:
    """As `_product`, of one image."""
    rng = np.random.default_rng(1)
    taps = kernel.taps
    w = nm.prune(whole(rng, (taps * channels, channels)), n, 8)
    weights = packing.pack(w, config.format, n, 8)
    x = rng.integers(1, 16, (1, side, side, channels)).astype(float)
    builder = Builder(config)
    left = Images(builder.tensor(side * side, channels), side, side)
    height, width = kernel.out(left)
    right = Images(builder.tensor(height * width, channels), height, width)
    settings, output = settings_of(config, channels, scale=2.0**-12), OutputFormat.FP16
    builder.convolution(left, kernel, weights, settings, False, output, right)
    raw = to_raw(x.reshape(-1, channels), config.format)
    got, counters = ran(opened, builder, {left.tensor: raw}, right.tensor)
    assert (got.view("<f2") == (stages.rows(x, kernel) @ w * 2.0**-12).astype("<f2")).all()
    return _measured(config, height * width * len(weights.values), counters)


def fitting(array: str, format: Format, shape: tuple[int, int, int]) -> Config:
    config = configuration(array, format)
    rows, inner, outputs = shape
    needed = (rows * inner + rows * outputs + 2 * inner * outputs) * format.bits // 8
    if needed > config.tensor_words * config.stream_bytes:
        config = replace(config, name=f"{config.name}-large", tensor_words=ROOM)
    return config


def _beside(opened, config: Config, format: Format, name: str, n: int, plain: int) -> Iterator:
    """Cycles with an addend, with a mask, and with RAW sums in and out, over those without."""
    kinds = (("addend",), ("mask",), ("addend", "mask"), ("raw",))
    for kind in kinds if name == BESIDE[0] else kinds[:-1]:
        _, cycles, waited = _product(opened, config, format, SHAPES[name], n, kind)
        cost = row(f"mem.{format.name}.{name}.{n}of8", "_".join(kind), cycles / plain)
        yield cost | {"unit": "x", "better": "lower", "note": waited or "0 cycles waited"}


def _product(
    opened, config: Config, format: Format, shape, n: int, beside: tuple[str, ...] = ()
) -> tuple[float, int, str]:
    """Share of the multipliers' cycles that multiplied by a kept weight, the cycles, and those
    that the array waited; the result is compared with what it must be. `beside` says which side
    operands it has."""
    rng, (rows, inner, outputs) = np.random.default_rng(1), shape
    w = nm.prune(whole(rng, (inner, outputs)), n, 8)
    weights = packing.pack(w, format, n, 8)
    x = whole(rng, (rows, inner))
    output = OutputFormat.FP16 if format == FP16 else OutputFormat.INT8
    builder = Builder(config)
    left, scale = builder.tensor(rows, inner), 2.0**-12
    held, operands, exact = {left: to_raw(x, format)}, {}, x @ w
    if "raw" in beside:
        # In place: the sums of a part of K, and these with another part's.
        output, right = OutputFormat.RAW, builder.raw(rows, outputs)
        operands["addend"] = right
        held[right] = exact.astype(int).astype(object) << -format.product_unit_log2
        expected = 2 * held[right]
    else:
        right = builder.tensor(rows, outputs, 8 * output.bytes)
        for name in beside:
            values = whole(rng, (rows, outputs)) * (rng.random((rows, outputs)) < 0.5)
            operands[name] = builder.tensor(rows, outputs)
            held[operands[name]] = to_raw(values, format)
            exact = exact + values if name == "addend" else np.where(values == 0, 0, exact)
        exact = exact * scale
        expected = exact.astype("<f2") if format == FP16 else np.rint(exact).clip(-128, 127)
    settings = settings_of(config, outputs, scale=scale)
    builder.product(left, weights, settings, False, output, right, **operands)
    got, counters = ran(opened, builder, held, right)
    if "raw" not in beside:
        got = got.view("<f2" if format == FP16 else "i1")
    assert (got == expected).all()
    return _measured(config, rows * len(weights.values), counters)


def _measured(config: Config, useful: int, counters: dict) -> tuple[float, int, str]:
    """Of so many useful multiplications, as `by_pattern` wants it."""
    cycles, stalls = counters["cycles"], sum(counters[stall] for stall in STALLS)
    note = f"{stalls} cycles waited" * bool(stalls)
    return useful / (config.macs_per_cycle * cycles), cycles, note


def ran(
    opened, builder: Builder, held: dict[Tensor, np.ndarray], result: Tensor
) -> tuple[np.ndarray, dict]:
    """What a program makes of what tensors have `held`, raw, and the counters."""
    program = builder.program()
    programs.load(opened, program)
    for tensor, values in held.items():
        opened.write_memory(tensor.address, tensor.to_words(values))
    counters = programs.run(opened, program)
    return result.from_words(opened.read_memory(result.address, result.words)), counters


def whole(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Whole numbers, none of them zero, whose products add up without rounding in float64."""
    return rng.integers(1, 64, shape) * rng.choice([-1.0, 1.0], shape)
