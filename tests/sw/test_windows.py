"""Convolutions over images that lie in external memory as they are, against NumPy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.formats import FP16, INT8, OutputFormat
from heddle.hw.isa.descriptors import Copy
from heddle.sim.golden.device import ModelTransport
from heddle.sim.golden.schedules import ScheduledModel, shuffled
from heddle.sw.compiler import packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.walks import Images, Kernel, as_matrix
from heddle.sw.compiler.windows import Windows
from heddle.sw.host import programs
from heddle.sw.host.device import Device
from heddle.sw.nn import data
from heddle.sw.nn.network import CONVOLUTIONS, SHIPPED, Network
from heddle.sw.nn.programs import compiled

from ..sim.test_copy import ONE, SLOW, TWO, simulated

LANES = replace(TWO, name="lanes", rows=4, columns=4, tensor_words=2048)
MODEL = replace(ONE, tensor_words=1024)
KERNELS = [
    (Kernel((3, 3), padding=(1, 1)), 1),
    (Kernel((3, 3)), 3),
    (Kernel((2, 3), stride=(2, 2), padding=(1, 1), far_padding=(0, 2), dilation=(2, 1)), 1),
    (Kernel((1, 5), stride=(1, 3), padding=(0, 2)), 2),
    (Kernel((3, 2), padding=(1, 0), far_padding=(1, 1)), 3),
]


def convolved(images: np.ndarray, weights: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Pixel by pixel: [images * pixels, channels out]."""
    far = kernel.padding if kernel.far_padding is None else kernel.far_padding
    (up, left), (down, right) = kernel.padding, far
    padded = np.pad(images, ((0, 0), (up, down), (left, right), (0, 0)))
    (high, wide), (dy, dx) = kernel.size, kernel.dilation
    lines = range(0, padded.shape[1] - dy * (high - 1), kernel.stride[0])
    places = range(0, padded.shape[2] - dx * (wide - 1), kernel.stride[1])
    made = [
        sum(
            padded[n, y + dy * j, x + dx * i] @ weights[j, i]
            for j in range(high)
            for i in range(wide)
        )
        for n in range(len(images))
        for y in lines
        for x in places
    ]
    return np.array(made)


def check(device: Device, kernel: Kernel, channels: int, abreast: int = 1, count: int = 4) -> None:
    """Images of 5 x 6 pixels, twice; so many of them abreast in tensor memory."""
    config, rng = device.config, np.random.default_rng(kernel.size[0] + channels)
    weights = rng.integers(-3, 4, (*kernel.size, channels, 5))
    builder = Builder(config)
    given = builder.external(count * 5 * 6, channels, packed=True)
    windows = Windows(config, count, 5, 6, channels, kernel, abreast)
    images = builder.windows(given, windows)
    height, width = kernel.out(Images(given.inside, 5, 6))
    assert (height, width) == windows.rest.out(images)
    assert images.tensor.columns == kernel.size[1] * channels
    made = images.made(builder.tensor(count * height * width, 5, 32), windows.rest)
    matrix = windows.weights(as_matrix(weights.astype(float)))
    packed = packing.pack(matrix, config.format)
    settings, output = settings_of(config, 5), OutputFormat.FP32
    builder.convolution(images, windows.rest, packed, settings, False, output, made)
    program = builder.program()
    programs.load(device, program)
    for _ in range(2):
        pixels = rng.integers(-9, 10, (count, 5, 6, channels))
        raw = to_raw(pixels.reshape(-1, channels), config.format)
        device.write_memory(given.address, given.to_words(raw), external=True)
        programs.run(device, program)
        words = device.read_memory(made.tensor.address, made.tensor.words)
        got = made.tensor.from_words(words).view("<f4")
        wanted = convolved(pixels, weights, kernel).reshape(-1, abreast, height * width, 5)
        assert (got == wanted.swapaxes(1, 2).reshape(-1, 5)).all()
        assert not device.flags()


@pytest.mark.parametrize("kernel,channels", KERNELS, ids=str)
@pytest.mark.parametrize("config,abreast", [(MODEL, 1), (LANES, 1), (LANES, 2)], ids=str)
def test_windows_of_packed_images(config, abreast, kernel, channels):
    with Device(ScheduledModel(config, shuffled(4))) as device:
        check(device, kernel, channels, abreast)


def test_windows_on_the_device():
    kernel = Kernel((2, 3), padding=(0, 1))
    with Device(simulated(ONE, external=SLOW)) as device:
        check(device, kernel, 1, count=1)


def test_what_windows_save():
    """A group for three lines of three elements, not for nine pixels; more than eight elements are
    two. Lines across each other's pixels are none."""
    shape = MODEL, 1, 8, 8
    assert Windows(*shape, 1, Kernel((3, 3))).saves
    assert Windows(*shape, 3, Kernel((3, 3))).saves
    assert not Windows(*shape, 8, Kernel((3, 3))).saves
    assert not Windows(*shape, 5, Kernel((3, 3), dilation=(1, 2))).saves
    assert not Windows(*shape, 1, Kernel((3, 1))).saves
    assert Windows(*shape, 4, Kernel((1, 2))).saves


@pytest.mark.parametrize(
    ("path", "name", "count"),
    [
        (CONVOLUTIONS, "small", 3),
        (CONVOLUTIONS, "medium", 4),
        (CONVOLUTIONS, "medium", 3),
        (SHIPPED[FP16], "small", 3),
        (SHIPPED[FP16], "medium", 4),
        (SHIPPED[INT8], "tiny", 3),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else str(value),
)
def test_networks_with_external_memory(path, name, count):
    """Input and output lie there packed, and the scores are those of a device without. On four
    lanes four images go abreast, three do not."""
    network = Network.load(path)
    config = preset(name, tensor_words=16384)
    outside = replace(config, external_bits=16)
    images = data.load(network.data).first(count).test_x
    channels = 1 if path == CONVOLUTIONS else None
    plain = compiled(network, config, count)
    with Device(ModelTransport(config)) as device:
        plain.load(device)
        scores, _ = plain.run(device, images)
        flags = device.flags()
    made = compiled(network, outside, count, channels=channels)
    size = 2 if network.format is FP16 else 1
    sent = [part.words * config.stream_bytes for part in (*made.entries, made.result)]
    words = [-(-bytes_ // config.stream_bytes) for bytes_ in (images.size * size, count * 40)]
    assert sent == [n * config.stream_bytes for n in words]
    with Device(ScheduledModel(outside, shuffled(5))) as device:
        made.load(device)
        for _ in range(2):
            got, _ = made.run(device, images)
            assert np.array_equal(got, scores) and device.flags() == flags
    copies = [c for c in made.program.commands if isinstance(c, Copy)]
    assert any(copy.line for copy in copies) == (path == CONVOLUTIONS)
