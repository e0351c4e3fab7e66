"""Tests of tensor memory and of what works on it: movers, store, vector unit, copies."""

from collections.abc import Callable

import numpy as np

from ....hw.config import Config
from ....hw.formats import OutputFormat
from ....hw.isa.vector import sizes
from ....sim.golden import numbers
from ....sim.golden.device import ModelTransport
from ...compiler import nm, pooling_programs, softmax_programs, vector_programs
from ...compiler.backward import TrainingBuilder
from ...compiler.packing import PackedWeights
from ...compiler.program import Builder
from ...compiler.settings import settings_of
from ...compiler.tensors import to_bytes
from ...compiler.walks import Images, Kernel
from .. import programs
from ..device import Device
from .checks import Failure, packed

FP32 = 32
"""Bits of an element."""
SIDE = 3
"""Lines and columns of an image."""


def units(config: Config) -> dict[str, Callable[[Device], str]]:
    """The units of `config` that there are because of tensor memory, and their tests."""
    there = {
        "tensor memory": (words, config.tensor_words),
        "products in memory": (products, config.tensor_words),
        "convolutions": (convolution, config.tensor_words),
        "vector unit": (vector, config.vector_lanes),
        "gradients": (gradients, config.training),
        "external memory": (external, config.external_bits),
        "copies": (copies, config.external_bits),
    }
    return {name: test for name, (test, is_there) in there.items() if is_there}


def words(device: Device) -> str:
    """Each word holds what no other does, and then its complement."""
    config = device.config
    shape = config.tensor_words, config.stream_bytes
    content = np.random.default_rng(12).integers(0, 256, shape, np.uint8)
    for held in (content, ~content):
        device.write_memory(0, held)
        _same_words(device.read_memory(0, config.tensor_words), held)
    return f"{shape[0]:,} words of {shape[1]} bytes"


def products(device: Device) -> str:
    """Rows of a tensor times weights: rounded, beside an addend and a mask, and as exact sums that
    another product adds to."""
    config, rng = device.config, np.random.default_rng(13)
    builder = Builder(config)
    rows, inner, outputs = config.rows + 1, 2 * config.group, config.columns + 1
    x, beside = (builder.tensor(rows, columns) for columns in (inner, outputs))
    weights = [_weights(device, rng, inner, outputs, n) for n in (1, config.group)]
    bias, scale = rng.standard_normal(outputs), rng.random(outputs)
    settings = settings_of(config, outputs, bias, scale, weights[0].scale)
    rounded, total = (builder.tensor(rows, outputs, FP32) for _ in range(2))
    sums = builder.raw(rows, outputs)
    to_fp32, to_raw = OutputFormat.FP32, OutputFormat.RAW
    builder.product(x, weights[0], settings, True, to_fp32, rounded, addend=beside)
    builder.product(x, weights[0], settings_of(config, outputs), False, to_raw, sums)
    settings = settings_of(config, outputs, steps=weights[1].scale)
    builder.product(x, weights[1], settings, False, to_fp32, total, addend=sums, mask=rounded)
    _alike(device, builder)
    return f"{rows} x {inner} x {outputs}, with addend, mask and exact sums"


def convolution(device: Device) -> str:
    """A window of 3 x 3 with zeros around the images, which go abreast."""
    config, rng = device.config, np.random.default_rng(14)
    builder, kernel = Builder(config), Kernel((3, 3), padding=(1, 1))
    pixels = config.lanes * SIDE**2
    x = Images(builder.tensor(pixels, config.group), SIDE, SIDE, config.lanes)
    y = x.made(builder.tensor(pixels, config.columns, FP32), kernel)
    weights = _weights(device, rng, 9 * config.group, config.columns, 2)
    settings = settings_of(config, config.columns, steps=weights.scale)
    builder.convolution(x, kernel, weights, settings, True, OutputFormat.FP32, y)
    _alike(device, builder)
    return f"3 x 3, {config.lanes} of {SIDE} x {SIDE} pixels"


def vector(device: Device) -> str:
    """Programs that between them multiply, add, compare, shift exponents, reduce and broadcast."""
    config = device.config
    builder = Builder(config)
    shape = 2 * SIDE**2, 2 * config.group
    x, other, y = (builder.tensor(*shape, FP32) for _ in range(3))
    row = builder.tensor(1, shape[1], FP32)
    narrow = [builder.tensor(*shape, 8 * size) for size in sizes(config) if 8 * size < FP32]
    pooled = builder.tensor(2, shape[1], FP32)
    for program in (
        vector_programs.affine(x, row, row, other, True),
        vector_programs.residual(x, other, y, (0.5, -3.0), False),
        *(vector_programs.convert(y, each) for each in narrow),
        vector_programs.sigmoid(y, other),
        softmax_programs.softmax(other, row, x),
        *(vector_programs.convert(each, other) for each in narrow[:1]),
        pooling_programs.max_pool(y, pooled, (SIDE, SIDE), (SIDE, SIDE), SIDE),
    ):
        builder.vector(program)
    _alike(device, builder)
    return "affine, residual, conversions, sigmoid, softmax, pooling"


def gradients(device: Device) -> str:
    """A product that is summed over rows: transposed, and with rows as its weights."""
    config = device.config
    builder = TrainingBuilder(config)
    rows = 2 * config.group + 1
    x = builder.tensor(rows, config.rows)
    dy = builder.tensor(rows, config.columns, apart=x)
    builder.gradient(x, dy, builder.tensor(config.rows, config.columns, FP32))
    _alike(device, builder)
    return f"{config.rows} x {rows} x {config.columns}"


def external(device: Device) -> str:
    """Words at both ends, and where one bit of an address is set, hold what no other does."""
    config = device.config
    count = (1 << config.external_bits) // config.stream_bytes
    places = sorted({0, count - 1} | {1 << bit for bit in range(count.bit_length() - 1)})
    shape = len(places), config.stream_bytes
    content = np.random.default_rng(16).integers(0, 256, shape, np.uint8)
    for held in (content, ~content):
        for place, word in zip(places, held, strict=True):
            device.write_memory(place, word, external=True)
        got = [device.read_memory(place, 1, external=True) for place in places]
        programs.check_external(device)
        _same_words(np.concatenate(got), held, places)
    return f"{len(places)} of {count:,} words"


def copies(device: Device) -> str:
    """A tensor goes out, and comes in again elsewhere."""
    config = device.config
    builder = Builder(config)
    shape = 2 * config.rows, 3 * config.group
    first, second = (builder.tensor(*shape) for _ in range(2))
    outside = builder.external(*shape)
    builder.copy(first, outside)
    builder.copy(outside, second)
    _alike(device, builder)
    return f"{2 * second.words} words"


def _weights(
    device: Device, rng: np.random.Generator, inner: int, outputs: int, n: int
) -> PackedWeights:
    dense = rng.standard_normal((inner, outputs))
    return packed(device, nm.prune(dense, n, device.config.group), n)


def _alike(device: Device, builder: Builder) -> None:
    """Raises `Failure` unless a program leaves the same in all of tensor memory as in the golden
    model's, which held the same finite elements before."""
    config, program = device.config, builder.program()
    reference = Device(ModelTransport(config), config.name)
    left = []
    for each in (device, reference):
        each.write_memory(0, _finite(config))
        programs.load(each, program)
        programs.run(each, program)
        left.append(each.read_memory(0, config.tensor_words))
    _same_words(*left)


def _finite(config: Config) -> np.ndarray:
    """Tensor memory full of random elements of the array's format."""
    rng, format = np.random.default_rng(15), config.format
    codes = np.arange(1 << format.bits).astype(numbers.raw_dtype(format))
    shape = config.tensor_words, config.lanes * config.group
    drawn = rng.choice(codes[numbers.is_finite(format, codes)], shape)
    return np.frombuffer(to_bytes(drawn, format.bits), np.uint8).reshape(config.tensor_words, -1)


def _same_words(got: np.ndarray, want: np.ndarray, places=None) -> None:
    """Raises `Failure` if words, uint8 [words, bytes], differ; `places` are their addresses."""
    wrong = np.flatnonzero((got != want).any(axis=1))
    if len(wrong):
        at = wrong[0] if places is None else places[wrong[0]]
        raise Failure(
            f"{len(wrong):,} of {len(got):,} words differ, the first at {at:#x}: "
            f"{got[wrong[0]].tobytes().hex()}, not {want[wrong[0]].tobytes().hex()}"
        )
