"""Programs of the vector unit against NumPy's float32, bit for bit, and against float64."""

from itertools import product

import numpy as np
import pytest

from heddle.hw.config import changed
from heddle.hw.formats import FP16, OutputFormat
from heddle.hw.isa.codes import Flag
from heddle.hw.isa.commands import Sync
from heddle.hw.isa.host_stream import packet_of
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler import pooling_programs, softmax_programs, update_programs
from heddle.sw.compiler import vector_programs as programs
from heddle.sw.compiler.packing import pack
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.tensors import Tensor
from heddle.sw.compiler.vector_program import VectorProgram
from heddle.sw.errors import FormatError
from heddle.sw.host import programs as host_programs
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.nn import stages
from heddle.sw.transports.simulated import SimulatedTransport

from .devices import DEVICES, TINY

f32 = np.float32
DTYPES = {8: np.int8, 16: np.float16, 32: np.float32}


@pytest.fixture(params=[ModelTransport, SimulatedTransport], ids=["model", "simulated"])
def device(request):
    with Device(request.param(TINY), "vector") as device:
        yield device


class Memory:
    """Tensors one behind the other, in a device's memory."""

    def __init__(self, device: Device):
        self.device, self.top = device, 0

    def tensor(self, rows: int, columns: int, bits: int = 32) -> Tensor:
        made = Tensor(self.device.config, self.top, rows, columns, bits)
        self.top += made.space
        return made

    def put(self, values: np.ndarray) -> Tensor:
        made = self.tensor(*values.shape, 8 * values.itemsize)
        self.device.write_memory(made.address, made.to_words(values.view(f"u{values.itemsize}")))
        return made

    def get(self, tensor: Tensor) -> np.ndarray:
        words = self.device.read_memory(tensor.address, tensor.words)
        return tensor.from_words(words).view(DTYPES[tensor.bits])

    def run(self, program: VectorProgram) -> None:
        device = self.device
        device.write_memory(self.top, program.content)
        packets = [
            packet_of(device.config, command) for command in (program.command(self.top), Sync())
        ]
        for packet, answer in zip(packets, device.transport.exchange(packets), strict=True):
            answer_of(device.config, answer).check(packet)


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


def stored(values: np.ndarray, width: int) -> np.ndarray:
    """binary32 as elements of so many bits, rounded to nearest even."""
    if width == 8:
        return np.clip(np.rint(values), -128, 127).astype(np.int8)
    with np.errstate(over="ignore"):
        return values.astype(DTYPES[width])


def numbers(rng, shape, width: int) -> np.ndarray:
    if width == 8:
        return rng.integers(-128, 128, shape).astype(np.int8)
    return (rng.standard_normal(shape) * 8).astype(DTYPES[width])


def test_element_by_element(device):
    rng, memory = np.random.default_rng(1), Memory(device)
    rows, columns = 11, 24
    for width, made in product((8, 16, 32), (8, 16, 32)):
        values = numbers(rng, (rows, columns), width)
        x, y = memory.put(values), memory.tensor(rows, columns, made)
        single = values.astype(f32)
        memory.run(programs.convert(x, y))
        assert (bits(memory.get(y)) == bits(stored(single, made))).all()
        memory.run(programs.relu(x, y))
        assert (bits(memory.get(y)) == bits(stored(np.maximum(single, f32(0)), made))).all()
        if width == 32:
            other = numbers(rng, (rows, columns), 16)
            z = memory.put(other)
            a, b = f32(0.1), f32(-1.7)
            wanted = np.maximum(single * a + other.astype(f32) * b, f32(0))
            memory.run(programs.residual(x, z, y, (float(a), float(b)), True))
            assert (bits(memory.get(y)) == bits(stored(wanted, made))).all()
            scale, shift = numbers(rng, (2, 1, columns), 32)
            s, t = memory.put(scale), memory.put(shift)
            memory.run(programs.affine(x, s, t, y, False))
            assert (bits(memory.get(y)) == bits(stored(single * scale + shift, made))).all()
        memory.top = 0
    assert device.flags() == {Flag.SATURATED}


@pytest.mark.parametrize(
    ("image", "kernel", "stride"), [((6, 5), (2, 2), 2), ((4, 5), (3, 3), 1), ((5, 5), (5, 5), 3)]
)
def test_pooling(device, image, kernel, stride):
    rng, memory = np.random.default_rng(2), Memory(device)
    (lines, columns), (high, wide), channels = image, kernel, 16
    values = numbers(rng, (3, lines, columns, channels), 16)
    lines_out, columns_out = (lines - high) // stride + 1, (columns - wide) // stride + 1
    x = memory.put(values.reshape(-1, channels))
    y = memory.tensor(3 * lines_out * columns_out, channels, 32)
    windows = [
        values[:, j : j + (lines_out - 1) * stride + 1 : stride][
            :, :, i : i + (columns_out - 1) * stride + 1 : stride
        ].astype(f32)
        for j in range(high)
        for i in range(wide)
    ]
    memory.run(pooling_programs.max_pool(x, y, image, kernel, stride))
    wanted = np.max(windows, axis=0).reshape(-1, channels)
    assert (memory.get(y) == wanted).all()
    memory.run(pooling_programs.average_pool(x, y, image, kernel, stride))
    total = windows[0]
    for window in windows[1:]:
        total = total + window
    wanted = (total * f32(1 / (high * wide))).reshape(-1, channels)
    assert (bits(memory.get(y)) == bits(wanted)).all()


def test_pooling_images_abreast(device):
    """Two and two of four images take turns, pixel by pixel."""
    rng, memory = np.random.default_rng(3), Memory(device)
    values = numbers(rng, (2, 4, 6, 2, 16), 16)  # Block, line, column, image, channel.
    x, y = memory.put(values.reshape(-1, 16)), memory.tensor(4 * 2 * 3, 16, 32)
    memory.run(pooling_programs.max_pool(x, y, (4, 6), (2, 2), 2, abreast=2))
    windows = values.reshape(2, 2, 2, 3, 2, 2, 16).astype(f32)
    assert (memory.get(y) == windows.max(axis=(2, 4)).reshape(-1, 16)).all()
    with pytest.raises(FormatError, match="leaves lines of 4 over: with images abreast it must"):
        z = memory.tensor(4 * 3 * 5, 16, 32)
        pooling_programs.max_pool(x, z, (4, 6), (2, 2), 1, abreast=2)


@pytest.mark.parametrize(("images", "pixels"), [(5, 12), (1, 1), (2, 49)])
def test_global_average(device, images, pixels):
    rng, memory = np.random.default_rng(3), Memory(device)
    values = numbers(rng, (images, pixels, 8), 16)
    x, y = memory.put(values.reshape(-1, 8)), memory.tensor(images, 8)
    memory.run(pooling_programs.global_average(x, y, pixels))
    total = values[:, 0].astype(f32)
    for pixel in range(1, pixels):
        total = total + values[:, pixel].astype(f32)
    assert (bits(memory.get(y)) == bits(total * f32(1 / pixels))).all()


def exp(x: np.ndarray) -> np.ndarray:
    """As the unit does it, in NumPy."""
    x = np.minimum(np.maximum(x, f32(-104)), f32(89))
    k = np.rint(x * f32(1.44269504088896341))
    r = x - k * f32(0.693359375)
    r = r - k * f32(-2.12194440e-4)
    p = r * f32(1.9875691500e-4) + f32(1.3981999507e-3)
    for c in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + f32(c)
    y = (p * (r * r) + r) + f32(1)
    with np.errstate(over="ignore"):
        return np.ldexp(y, k.astype(int))


def reciprocal(x: np.ndarray) -> np.ndarray:
    """Of positive numbers."""
    fraction, power = np.frexp(x)
    y = fraction * f32(-32 / 17) + f32(48 / 17)
    for _ in range(3):
        y = y * (f32(2) - fraction * y)
    return np.ldexp(y, -power)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return reciprocal(exp(np.minimum(np.maximum(-x, f32(-88)), f32(88))) + f32(1))


def softmax(x: np.ndarray, group: int) -> np.ndarray:
    """Of all columns, in M interleaved sums."""
    counted = -(-x.shape[1] // group) * group
    padded = np.full((len(x), counted), -np.inf, f32)
    padded[:, : x.shape[1]] = x
    e = exp(padded - padded.max(axis=1, keepdims=True))
    sums = np.zeros((len(x), group), f32)
    for at in range(0, counted, group):
        sums = sums + e[:, at : at + group]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return (e * reciprocal(sums))[:, : x.shape[1]]


def test_sigmoid(device):
    rng, memory = np.random.default_rng(4), Memory(device)
    values = np.concatenate(
        [rng.uniform(-100, 100, (6, 8)), rng.standard_normal((12, 8)), [[0, -0.0, 88, -88] * 2]]
    ).astype(f32)
    values[0, :3] = np.inf, -np.inf, 1e30
    x, y = memory.put(values), memory.tensor(*values.shape)
    memory.run(programs.sigmoid(x, y))
    assert (bits(memory.get(y)) == bits(sigmoid(values))).all()


@pytest.mark.parametrize("classes", [10, 8, 3, 40])
def test_softmax(device, classes):
    rng, memory = np.random.default_rng(5), Memory(device)
    whole = -(-classes // 8) * 8
    values = np.zeros((7, whole), f32)
    values[:, :classes] = rng.standard_normal((7, classes)) * 20
    channels = np.where(np.arange(whole) < classes, 0, -np.inf).astype(f32)[None]
    x, counts, y = memory.put(values), memory.put(channels), memory.tensor(7, whole)
    memory.run(softmax_programs.softmax(x, counts, y))
    got = memory.get(y)
    assert (bits(got[:, :classes]) == bits(softmax(values[:, :classes], 8))).all()
    assert (bits(got[:, classes:]) == 0).all()


def log(x: np.ndarray) -> np.ndarray:
    """Cephes' logf."""
    mantissa, power = np.frexp(x)  # from 1/2 to 1
    mantissa, power = mantissa * f32(2), power - 1
    low = mantissa < f32(np.sqrt(2))
    r = np.where(low, mantissa, mantissa * f32(0.5)) - f32(1)
    e = np.where(low, power, power + 1).astype(f32)
    z, p = r * r, np.full_like(r, f32(7.0376836292e-2))
    for coefficient in (
        *(-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    ):
        p = p * r + f32(coefficient)
    y = p * r * z + e * f32(-2.12194440e-4) - z * f32(0.5)
    return (r + y) + e * f32(0.693359375)


def interleaved(values: np.ndarray, group: int = 8) -> np.ndarray:
    """Sums of rows as programs form them, [rows, 1]."""
    sums = np.zeros((len(values), group), f32)
    for at in range(0, values.shape[1], group):
        sums = sums + values[:, at : at + group]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums


def scores(rng, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets, filled up to whole groups."""
    whole = -(-classes // 8) * 8
    values = np.full((rows, whole), 77, f32)
    values[:, :classes] = rng.standard_normal((rows, classes)) * 10
    targets = np.full((rows, whole), -np.inf, f32)
    targets[:, :classes] = np.eye(classes)[rng.integers(classes, size=rows)]
    return values, targets


@pytest.mark.parametrize(
    ("classes", "at_once"), [(10, True), (8, True), (3, True), (32, True), (10, False), (40, False)]
)
def test_cross_entropy_and_its_gradient(device, classes, at_once):
    rng, memory, factor = np.random.default_rng(8), Memory(device), 1024 / 7
    values, targets = scores(rng, 7, classes)
    x, t = memory.put(values), memory.put(targets)
    dx, loss = memory.tensor(*values.shape, 16), memory.tensor(7, 8)
    if at_once:
        (program,) = softmax_programs.losses(x, t, dx, loss, factor)
        memory.run(program)
    else:
        memory.run(softmax_programs.loss_gradient(x, t, dx, factor))
        memory.run(softmax_programs.cross_entropy(x, t, loss))
    chances, hot = softmax(values[:, :classes], 8), targets[:, :classes]
    got = memory.get(dx)
    assert (bits(got[:, :classes]) == bits(stored((chances - hot) * f32(factor), 16))).all()
    assert not got[:, classes:].any()
    inside = np.where(targets < 0, -np.inf, values).astype(f32)
    below = inside - inside.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        picked = np.where(targets > 0, below * targets, f32(0))
    wanted = log(interleaved(exp(below))) - interleaved(picked)
    assert (bits(memory.get(loss)) == bits(np.tile(wanted, 8))).all()


def test_losses_of_many_classes_are_two_programs(device):
    memory = Memory(device)
    x, t, dx = memory.tensor(3, 40), memory.tensor(3, 40), memory.tensor(3, 40, 16)
    made = softmax_programs.losses(x, t, dx, memory.tensor(3, 8), 1.0)
    assert [program.streams[3] == dx for program in made] == [True, False]


def test_an_update(device):
    """Momentum, then descent, in place, one operation after another, all of them FP32."""
    rng, memory = np.random.default_rng(9), Memory(device)
    shape = 9, 24
    gradient, weights, speed = ((rng.standard_normal(shape) * 3).astype(f32) for _ in range(3))
    dw, w, v = memory.put(gradient), memory.put(weights), memory.put(speed)
    memory.run(update_programs.momentum(dw, w, v, 0.9, 5e-4, 0.1))
    speed = speed * f32(0.9) + (gradient + weights * f32(5e-4))
    assert (bits(memory.get(v)) == bits(speed)).all()
    assert (bits(memory.get(w)) == bits(weights - speed * f32(0.1))).all()
    assert (bits(memory.get(dw)) == bits(gradient)).all()


def test_targets_of_another_shape(device):
    memory = Memory(device)
    x, t, loss = memory.tensor(4, 8), memory.tensor(3, 8), memory.tensor(4, 16)
    with pytest.raises(FormatError, match="have not the same shape"):
        softmax_programs.cross_entropy(x, t, loss)
    with pytest.raises(FormatError, match="losses of 4 rows are a tensor of 4 x 8"):
        softmax_programs.cross_entropy(x, x, loss)


def test_how_far_off():
    """The bounds of docs/vector.md, of the same operations."""
    x = np.linspace(-103, 88.5, 300_001).astype(f32)
    wide = x.astype(np.float64)
    normal = wide > -87
    error = np.abs(exp(x) / np.exp(wide) - 1)[normal]
    assert error.max() < 1.5e-7
    d = np.ldexp(np.linspace(1, 2, 200_001), 0).astype(f32)
    assert np.abs(reciprocal(d) * d.astype(np.float64) - 1).max() < 1.5e-7
    x = np.linspace(-88, 88, 300_001).astype(f32)
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.abs(sigmoid(x) / exact - 1).max() < 3e-7
    rng = np.random.default_rng(6)
    rows = (rng.standard_normal((2000, 40)) * 10).astype(f32)
    below = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    exact = np.exp(below) / np.exp(below).sum(axis=1, keepdims=True)
    error = np.abs(softmax(rows, 8) - exact)
    assert error.max() < 3e-7
    # What is far below the maximum loses places when that is subtracted.
    assert (error / exact < 4e-7 - below * 2.0**-24).all()
    sums = np.linspace(1, 4096, 300_001).astype(f32)
    assert np.abs(log(sums) - np.log(sums.astype(np.float64))).max() < 5e-7


def test_exact_sums(device):
    """Integers of 128 bits, rounded once."""
    rng, memory, unit = np.random.default_rng(7), Memory(device), -48
    widths = rng.integers(0, 128, (9, 8))
    sums = [
        [int.from_bytes(rng.bytes(16), "little", signed=True) >> int(width) for width in row]
        for row in widths
    ]
    edges = [0, 1, -1, 1 << 24, (1 << 24) + 1, (1 << 25) + 2, -(1 << 127), (1 << 127) - 1]
    edges += [
        (1 << 31),
        1 << 63,
        -(1 << 63),
        -(1 << 31),
        (1 << 95) + 1,
        (1 << 87) + (1 << 63),
        3,
        -5,
    ]
    sums[0], sums[1] = edges[:8], edges[8:]
    # Ties, and what lies just beside them, far below.
    sums[2] = [s * ((1 << 25) + 1) << at for at in (0, 31, 40, 80) for s in (1, -1)]
    sums[3] = [(((1 << 25) + 3) << at) + s for at in (40, 70, 90, 100) for s in (1, -1)]
    limbs = np.array([[[s >> 32 * n & 0xFFFFFFFF for s in r] for r in sums] for n in range(4)])
    planes = [memory.put(plane.astype(np.uint32)) for plane in limbs]
    y = memory.tensor(9, 8)
    memory.run(programs.from_raw(planes, y, unit))
    wanted = [[np.ldexp(f32(_single(s)), unit) for s in r] for r in sums]
    assert (bits(memory.get(y)) == bits(np.array(wanted, f32))).all()


def _single(value: int) -> float:
    """To 24 bits, ties to even, by integers."""
    magnitude = abs(value)
    shift = max(0, magnitude.bit_length() - 24)
    whole, rest = divmod(magnitude, 1 << shift)
    half = 1 << shift >> 1
    whole += rest > half or (rest == half and shift > 0 and whole % 2)
    return float(whole << shift) * (-1 if value < 0 else 1)


@pytest.mark.parametrize("kind", DEVICES)
def test_between_products(kind):
    """A residual block as one program: two products, a weighted sum, and a product of that."""
    rng, shape = np.random.default_rng(8), (21, 24)
    x = rng.integers(-9, 10, shape).astype(np.int8)
    first, second = (rng.integers(-9, 10, (24, 16)).astype(np.int8) for _ in range(2))
    last = rng.integers(-9, 10, (16, 8)).astype(np.int8)
    builder = Builder(TINY)
    tensors = [builder.tensor(21, columns) for columns in (24, 16, 16, 16, 8)]
    given, a, b, joined, y = tensors
    settings = {n: settings_of(TINY, n, scale=2.0**-4) for n in (8, 16)}

    def times(left: Tensor, weights: np.ndarray, right: Tensor):
        packed = pack(weights, TINY.format, 8, TINY.group)
        builder.product(left, packed, settings[right.columns], False, OutputFormat.INT8, right)

    times(given, first, a)
    times(given, second, b)
    builder.vector(programs.residual(a, b, joined, (0.5, 0.3), True))
    times(joined, last, y)
    # In place, after the product has read it.
    builder.vector(programs.relu(y, y))
    program = builder.program()
    with Device(DEVICES[kind](TINY), "vector") as device:
        host_programs.load(device, program)
        device.write_memory(given.address, given.to_words(x.view(np.uint8)))
        host_programs.run(device, program)
        got = {
            t: t.from_words(device.read_memory(t.address, t.words)).view(np.int8) for t in tensors
        }

    def product(left, right):
        return np.clip(np.rint(left.astype(int) @ right / 16), -128, 127).astype(f32)

    total = product(x, first) * f32(0.5) + product(x, second) * f32(0.3)
    wanted = stored(np.maximum(total, f32(0)), 8)
    assert (got[joined].view(np.int8) == wanted).all()
    assert (got[y].view(np.int8) == np.maximum(product(wanted, last), 0)).all()


def test_a_device_without_a_vector_unit():
    builder = Builder(changed(TINY, vector_lanes=0))
    x = builder.tensor(8, 8)
    with pytest.raises(FormatError, match="has no vector unit: build one with vector_lanes"):
        builder.vector(programs.relu(x, x))


def test_what_is_refused():
    memory = Memory(Device(ModelTransport(TINY)))
    x, y = memory.tensor(12, 10, 32), memory.tensor(12, 10, 32)
    with pytest.raises(FormatError, match="end within a span of 8: give the tensor a multiple"):
        programs.relu(x, y)
    x, y = memory.tensor(20, 8), memory.tensor(12, 8)
    with pytest.raises(FormatError, match="20 x 8 and 12 x 8 elements have not the same shape"):
        programs.relu(x, y)
    with pytest.raises(FormatError, match="an image of 4 x 5 is smaller than its kernel of 5 x 5"):
        pooling_programs.max_pool(x, y, (4, 5), (5, 5), 1)
    with pytest.raises(FormatError, match="makes 2 x 2 of each: 20 x 8 elements cannot become"):
        pooling_programs.max_pool(x, y, (4, 5), (2, 2), 2)
    with pytest.raises(FormatError, match="12 images of 3 pixels"):
        pooling_programs.global_average(x, y, 3)
    with pytest.raises(FormatError, match="four tensors of 32-bit limbs"):
        programs.from_raw([x, x, x, x], x, 0)
    half = changed(TINY, format=FP16)
    x = Tensor(half, 0, 4, 8, 8)
    with pytest.raises(FormatError, match="no elements of 1 bytes beside fp16"):
        programs.relu(x, x)


@pytest.mark.parametrize(
    ("image", "size", "abreast"), [((4, 6), 2, 1), ((6, 3), 3, 1), ((4, 4), 2, 2)]
)
def test_a_gradient_back_through_pooling(device, image, size, abreast):
    """To the first of the largest, by lines: one of a few values is the largest more than once."""
    rng, memory = np.random.default_rng(10), Memory(device)
    (lines, columns), channels, count = image, 16, 4
    values = rng.integers(-2, 3, (count, lines, columns, channels)).astype(np.float16)
    pooled = stages.pooled(values, size)
    gradient = rng.standard_normal(pooled.shape).astype(np.float16)

    def rows(images: np.ndarray) -> np.ndarray:
        blocks = images.reshape(count // abreast, abreast, *images.shape[1:])
        return blocks.transpose(0, 2, 3, 1, 4).reshape(-1, channels)

    x, y, dy = (memory.put(rows(images)) for images in (values, pooled, gradient))
    dx = memory.tensor(x.rows, channels, 16)
    memory.run(pooling_programs.max_unpool(x, y, dy, dx, image, size, abreast))
    wanted = stages.unpooled(gradient, values, size)
    assert (bits(memory.get(dx)) == bits(rows(wanted + np.float16(0)))).all()


def test_windows_that_leave_pixels_over(device):
    memory = Memory(device)
    x, y = memory.tensor(15, 8), memory.tensor(2, 8)
    with pytest.raises(FormatError, match="images of 3 x 5 are no windows of 2 x 2"):
        pooling_programs.max_unpool(x, y, y, x, (3, 5), 2)
