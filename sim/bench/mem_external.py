"""The products of `mem` whose operands come from external memory and whose results go there, all in
one program: behind 100 cycles of latency, a beat a cycle both ways together.

Cycles are the simulation's, from the first command to the answer that all is done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, INT8, Format, OutputFormat
from ...hw.isa.commands import Sync
from ...hw.isa.descriptors import Copy
from ...hw.isa.host_stream import packet_of
from ...sw.compiler import nm, packing
from ...sw.compiler.elements import to_raw
from ...sw.compiler.external import ExternalTensor
from ...sw.compiler.packing import PackedWeights
from ...sw.compiler.program import Builder, Program
from ...sw.compiler.settings import settings_of
from ...sw.compiler.tensors import Tensor
from ...sw.compiler.walks import Images, Kernel
from ...sw.host import programs
from ...sw.host.device import Device
from ...sw.nn import stages
from ...sw.transports.simulated import External, SimulatedTransport
from . import mem
from .named import wanted
from .util import SHAPES, configuration

BEHAVIOUR = External(latency=100, bandwidth=1.0)
BITS = 22
"""Of external memory's addresses."""
SCALE = 2.0**-12


@dataclass(frozen=True)
class Work:
    """A program from there to there, what it is given, and what it must make of that."""

    program: Program
    given: ExternalTensor
    raw: np.ndarray
    result: ExternalTensor
    expected: np.ndarray
    useful: int
    """Multiplications by weights that are kept."""


def rows(only: str) -> Iterator[dict]:
    for format in (FP16, INT8):
        for name, shape in SHAPES.items():
            config = mem.fitting(name.partition(".")[0], format, shape)
            yield from _patterns(only, name, config, partial(_product, shape))
    for name, (side, channels, kernel) in mem.CONVOLUTIONS.items():
        config = configuration(name.partition(".")[0], FP16)
        config = replace(config, name="conv", tensor_words=mem.ROOM)
        yield from _patterns(only, name, config, partial(_convolution, side, channels, kernel))


def _patterns(
    only: str, name: str, config: Config, make: Callable[[Config, int], Work]
) -> Iterator[dict]:
    """Dense utilisation, and the speed-up of each pattern over it."""
    prefix = f"mem.ext.{config.format.name}.{name}"
    if not wanted(prefix, only):
        return
    config = replace(config, name=f"{config.name}-external", external_bits=BITS)
    carrier = SimulatedTransport(config, external=BEHAVIOUR)
    with Device(carrier) as device:
        yield from mem.by_pattern(prefix, lambda n: _run(device, carrier, make(config, n)))


def _run(device: Device, carrier: SimulatedTransport, work: Work) -> tuple[float, int, str]:
    """Share of the multipliers' cycles that is used, cycles, and what limits them; every bit of
    the result is compared."""
    program, config = work.program, device.config
    programs.load(device, program)
    device.write_memory(work.given.address, work.given.to_words(work.raw), external=True)
    device.clear()
    taken = []
    for packets in ([], program.packets()):
        before = carrier.cycles
        device.transport.exchange([*packets, packet_of(config, Sync())])
        taken.append(carrier.cycles - before)
    programs.check_external(device)
    words = device.read_memory(work.result.address, work.result.words, external=True)
    got = work.result.from_words(words)
    assert (got.view(work.expected.dtype) == work.expected).all()
    cycles, counters = taken[1] - taken[0], device.counters()
    array = max(counters["slots"], counters["tiles"] * config.tile_rows)
    copies = [command for command in program.commands if isinstance(command, Copy)]
    beats = sum(-(-copy.row_bytes // config.stream_bytes) * copy.rows for copy in copies)
    limit = "array" if array >= beats else "bus"
    note = f"{cycles:,} cycles: the array works for {array:,}, the bus moves {beats:,} beats"
    share = work.useful / (config.macs_per_cycle * cycles)
    return share, cycles, f"{note}; {max(array, beats) / cycles:.0%} of the {limit}'s roofline"


def _product(shape: tuple[int, int, int], config: Config, n: int) -> Work:
    rng, (rows, inner, outputs) = np.random.default_rng(1), shape
    w = nm.prune(mem.whole(rng, (inner, outputs)), n, 8)
    weights, x = packing.pack(w, config.format, n, 8), mem.whole(rng, (rows, inner))

    def multiply(builder: Builder, left: Tensor, right: Tensor) -> None:
        settings = settings_of(config, outputs, scale=SCALE)
        builder.product(left, weights, settings, False, _output(config.format), right)

    return _work(config, weights, x, x @ w * SCALE, multiply)


def _convolution(side: int, channels: int, kernel: Kernel, config: Config, n: int) -> Work:
    rng, taps = np.random.default_rng(1), kernel.taps
    w = nm.prune(mem.whole(rng, (taps * channels, channels)), n, 8)
    weights = packing.pack(w, config.format, n, 8)
    x = rng.integers(1, 16, (1, side, side, channels)).astype(float)

    def multiply(builder: Builder, left: Tensor, right: Tensor) -> None:
        images, made = Images(left, side, side), Images(right, side, side)
        settings = settings_of(config, channels, scale=SCALE)
        output = _output(config.format)
        builder.convolution(images, kernel, weights, settings, False, output, made)

    expected = stages.rows(x, kernel) @ w * SCALE
    return _work(config, weights, x.reshape(-1, channels), expected, multiply)


def _work(
    config: Config,
    weights: PackedWeights,
    x: np.ndarray,
    exact: np.ndarray,
    multiply: Callable[[Builder, Tensor, Tensor], None],
) -> Work:
    builder, format = Builder(config, streamed=True), config.format
    given, result = builder.external(*x.shape), builder.external(*exact.shape)
    left, right = builder.tensor(*x.shape), builder.tensor(*exact.shape)
    builder.copy(given, left)
    multiply(builder, left, right)
    builder.copy(right, result)
    expected = exact.astype("<f2") if format == FP16 else np.rint(exact).clip(-128, 127)
    expected = expected if format == FP16 else expected.astype("i1")
    useful = len(exact) * len(weights.values)
    return Work(builder.program(), given, to_raw(x, format), result, expected, useful)


def _output(format: Format) -> OutputFormat:
    return OutputFormat.FP16 if format == FP16 else OutputFormat.INT8
