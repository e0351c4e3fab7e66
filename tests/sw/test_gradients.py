"""Weight gradients as programs, on the model and on Verilog with and without stalls, against sums
over rows."""

from dataclasses import replace
from fractions import Fraction
from math import ldexp

import numpy as np
import pytest

from heddle.hw.config import Config, preset
from heddle.hw.formats import BF16, E4M3, E5M2, FP16, INT4, INT8, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.descriptors import Dense
from heddle.hw.isa.engines import Engine, after
from heddle.sim.golden import numbers
from heddle.sw.compiler import gradients
from heddle.sw.compiler.backward import TrainingBuilder
from heddle.sw.compiler.elements import Raw, to_raw
from heddle.sw.compiler.encoding import Encoder
from heddle.sw.compiler.sequence import Move, Part, Sequence
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.steps import Load, Page
from heddle.sw.compiler.tensors import Tensor
from heddle.sw.compiler.walks import Images, Kernel, Walk
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import DEVICES, TRAINING
from .test_transposed import side_by_side

WIDE = Config(
    "across",
    *(8, 16, FP16),
    lanes=2,
    activation_groups=16,
    weight_slots=128,
    tensor_words=2048,
    training=True,
)
"""Two lanes' rows become dense weights in a cycle."""


RUNS = [
    pytest.param(
        (config, name),
        id=f"{config.name}-{name}",
        marks=[pytest.mark.slow] * (config is WIDE and name != "model"),
    )
    for config in (TRAINING, WIDE)
    for name in DEVICES
]


@pytest.fixture(params=RUNS)
def device(request):
    config, name = request.param
    with Device(DEVICES[name](config), config.name) as device:
        yield device


def held(config, rng, *shape: int) -> np.ndarray:
    """Elements whose every bit counts; FP16's have fractions, and sums that float64 holds."""
    if config.format is INT8:
        return rng.integers(-128, 128, shape).astype(float)
    return np.float16(rng.integers(-1000, 1001, shape) * 2.0**-6).astype(float)


def ran(device, builder, filled, result):
    """What a program makes of what tensors are `filled` with."""
    config, program = device.config, builder.program()
    programs.load(device, program)
    for tensor, values in filled.items():
        device.write_memory(tensor.address, tensor.to_words(to_raw(values, config.format)))
    counters = programs.run(device, program)
    assert counters["errors"] == 0 and not device.flags()
    return result.from_words(device.read_memory(result.address, result.words)), counters


@pytest.mark.parametrize(
    "sizes", [(1, 8, 8), (5, 3, 2), (64, 8, 8), (61, 20, 17), (200, 24, 20), (300, 8, 8)], ids=str
)
def test_a_matrix(device, sizes):
    """Rows that fit a page, rows of one tile that do not, and chunks whose sums go out as RAW."""
    config, rng = device.config, np.random.default_rng(sizes)
    rows, inner, outputs = sizes
    x, dy = held(config, rng, rows, inner), held(config, rng, rows, outputs)
    builder = TrainingBuilder(config)
    left = builder.tensor(rows, inner)
    right = builder.tensor(rows, outputs, apart=left)
    dw = builder.tensor(inner, outputs, 32)
    builder.gradient(left, right, dw)
    got, _ = ran(device, builder, {left: x, right: dy}, dw)
    exact = np.sum(x[:, :, None] * dy[:, None, :], axis=0)
    assert (got.view("<f4") == exact.astype("<f4")).all()


def taps(x: np.ndarray, dy: np.ndarray, kernel: Kernel) -> np.ndarray:
    """The gradient [taps' lines, columns, channels in, out], tap by tap and pixel by pixel."""
    (high, wide), (_, height, width, _) = kernel.size, x.shape
    dw = np.zeros((high, wide, x.shape[3], dy.shape[3]))
    for tap_y, tap_x, line, column in np.ndindex(high, wide, *dy.shape[1:3]):
        y = line * kernel.stride[0] - kernel.padding[0] + tap_y * kernel.dilation[0]
        at = column * kernel.stride[1] - kernel.padding[1] + tap_x * kernel.dilation[1]
        if 0 <= y < height and 0 <= at < width:
            dw[tap_y, tap_x] += x[:, y, at].T @ dy[:, line, column]
    return dw


CASES = {
    # Images, channels out, kernel.
    "same": ((2, 5, 6, 8), 8, Kernel((3, 3), padding=(1, 1))),
    "strided": ((3, 6, 7, 16), 5, Kernel((3, 2), (2, 3), (1, 0))),
    "dilated": ((1, 7, 6, 3), 9, Kernel((2, 3), (1, 1), (0, 2), dilation=(3, 2))),
    "long": ((3, 8, 7, 5), 4, Kernel((1, 3), padding=(0, 1))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_convolution(device, case):
    """Of as many images abreast as there are lanes, if they can."""
    config, (shape, outputs, kernel) = device.config, CASES[case]
    rng = np.random.default_rng(len(case))
    abreast = config.lanes if shape[0] % config.lanes == 0 else 1
    builder = TrainingBuilder(config)
    left = Images(builder.tensor(int(np.prod(shape[:3])), shape[3]), *shape[1:3], abreast)
    height, width = kernel.out(left)
    x, dy = held(config, rng, *shape), held(config, rng, shape[0], height, width, outputs)
    tensor = builder.tensor(shape[0] * height * width, outputs, apart=left.tensor)
    right = Images(tensor, height, width, abreast)
    channels = -(-shape[3] // 8) * 8
    dw = builder.tensor(kernel.size[0] * kernel.size[1] * channels, outputs, 32)
    builder.gradient(left, right, dw, kernel)
    flat = {left.tensor: side_by_side(x, abreast), tensor: side_by_side(dy, abreast)}
    got, _ = ran(device, builder, flat, dw)
    got = got.view("<f4").reshape(*kernel.size, channels, outputs)
    assert (got[:, :, : shape[3]] == taps(x, dy, kernel).astype("<f4")).all()
    assert not got[:, :, shape[3] :].any()


def test_a_gradient_of_two_batches(device):
    """The first one's exact sums are the second one's addend; then one rounding, with a scale."""
    config, rng = device.config, np.random.default_rng(3)
    x, dy = held(config, rng, 90, 9), held(config, rng, 90, 10)
    builder = TrainingBuilder(config)
    left = builder.tensor(90, 9)
    right = builder.tensor(90, 10, apart=left)
    sums, dw = builder.raw(9, 10), builder.tensor(9, 10, 32)
    builder.gradient(left.part(0, 48), right.part(0, 48), sums, output=OutputFormat.RAW)
    half = settings_of(config, 10, scale=0.75)
    builder.gradient(left.part(48, 42), right.part(48, 42), dw, addend=sums, settings=half)
    got, _ = ran(device, builder, {left: x, right: dy}, dw)
    assert (got.view("<f4") == (x.T @ dy * 0.75).astype("<f4")).all()
    first = sums.from_words(device.read_memory(sums.address, sums.words))
    unit = ldexp(1, -config.format.product_unit_log2)
    assert (first == (x[:48].T @ dy[:48] * unit).astype(int)).all()


KINDS = [
    (INT4, 8, 8, 1),
    (INT4, 16, 32, 4),
    (E4M3, 8, 24, 2),
    (E5M2, 16, 16, 16),
    (BF16, 8, 16, 8),
]


@pytest.mark.parametrize(("format", "group", "size", "lanes"), KINDS, ids=str)
def test_every_format(format, group, size, lanes):
    """Any finite elements, summed as integers of the products' unit."""
    config = Config(
        *("any", max(size, lanes), size, format, group),
        lanes=lanes,
        activation_groups=64,
        tensor_words=4096,
        training=True,
    )
    rng = np.random.default_rng(size)
    rows, inner, outputs = 2 * group + 3, size + 5, size + 2
    codes = np.arange(1 << format.bits).astype(numbers.raw_dtype(format))
    codes = codes[numbers.is_finite(format, codes)]
    x, dy = rng.choice(codes, (rows, inner)), rng.choice(codes, (rows, outputs))
    builder = TrainingBuilder(config)
    left, right = builder.tensor(rows, inner), builder.tensor(rows, outputs)
    dw = builder.raw(inner, outputs)
    builder.gradient(left, right, dw, output=OutputFormat.RAW)
    with Device(DEVICES["model"](config), config.name) as device:
        got, _ = ran(device, builder, {left: Raw(x), right: Raw(dy)}, dw)
    one, other = (
        np.vectorize(Fraction, otypes=[object])(numbers.to_float(format, raw)) for raw in (x, dy)
    )
    assert (got == one.T @ other / Fraction(2) ** format.product_unit_log2).all()


def test_a_whole_group_of_slots_is_waited_for():
    """Five rows fill eight slots, the last of which a RUN before still reads."""
    sequence = Sequence(TRAINING, lambda _: (0, None))
    run = [(Target.VALUES, range(6, 8))]
    assert sequence._waits.run(run) == 0
    dense = Dense(address=0, count=5, source=0, words=5, pitch=1, groups=1)
    x = Tensor(TRAINING, 0, 5, 8, 8)
    settings = settings_of(TRAINING, 8)
    encoder = Encoder(TRAINING, settings, False, OutputFormat.FP32)
    across, rows = gradients.both(Walk.matrix(TRAINING, x), x, range(5))
    part = Part(encoder, across, rows, x)
    load = Load(Page("weights", 0), Target.VALUES, 0, np.arange(8), False)
    sequence._dense(Move(load, None, [dense], part, -1, 0))
    (sent,) = sequence._commands
    assert sent.waits == after({Engine.ARRAY: 0})


def test_what_cannot_be_built():
    small = TrainingBuilder(preset("small"))
    x = small.tensor(8, 8)
    with pytest.raises(FormatError, match="'small' cannot transpose rows: build one with training"):
        small.gradient(x, x, small.tensor(8, 8, 32))
    builder = TrainingBuilder(TRAINING)
    x, dy, dw = builder.tensor(16, 20), builder.tensor(16, 9), builder.tensor(20, 9, 32)
    with pytest.raises(FormatError, match=r"rows of 20 columns across and \[12, 9\] make no \[20"):
        builder.gradient(x, dy.part(0, 12), dw)
    with pytest.raises(FormatError, match=r"and \[16, 9\] make no \[20, 8\]"):
        builder.gradient(x, dy, builder.tensor(20, 8, 32))
    with pytest.raises(FormatError, match="elements of 32 bits cannot be multiplied in int8"):
        builder.gradient(x, builder.tensor(16, 9, 32), dw)
    with pytest.raises(FormatError, match="images need a kernel"):
        builder.gradient(Images(x, 4, 4), Images(dy, 4, 4), dw)
    with pytest.raises(FormatError, match="the gradient of a convolution is made of images"):
        builder.gradient(x, dy, dw, Kernel((1, 1)))
    with pytest.raises(FormatError, match="3 x 3, across and .* make no"):
        builder.gradient(Images(x, 4, 4), Images(dy, 4, 4), dw, Kernel((3, 3), padding=(1, 1)))
    with pytest.raises(FormatError, match="1 and 2 images go abreast: as many must"):
        two = Images(builder.tensor(32, 8), 4, 4), Images(builder.tensor(32, 9), 4, 4, 2)
        builder.gradient(*two, builder.tensor(8, 9, 32), Kernel((1, 1)))
    with pytest.raises(FormatError, match="results would lie where rows still to be multiplied do"):
        wide = replace(dw, address=dy.address)
        builder.gradient(x, dy, wide)
