"""Transposed convolutions as programs, on the model and on Verilog with and without stalls, against
sums over pixels."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.formats import INT8, OutputFormat
from heddle.sw.compiler import packing
from heddle.sw.compiler.backward import TrainingBuilder
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.transposed import needs_vector, pixel_phases
from heddle.sw.compiler.walks import Images, Kernel
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import DEVICES, LANES, PAGED


def spread_back(dy: np.ndarray, w: np.ndarray, kernel: Kernel, height: int, width: int):
    """Each output pixel's gradient to all input pixels that it was made of, [B, H, W, C]."""
    dx = np.zeros((len(dy), height, width, w.shape[2]))
    for tap_y, tap_x, line, column in np.ndindex(*w.shape[:2], *dy.shape[1:3]):
        y = line * kernel.stride[0] - kernel.padding[0] + tap_y * kernel.dilation[0]
        x = column * kernel.stride[1] - kernel.padding[1] + tap_x * kernel.dilation[1]
        if 0 <= y < height and 0 <= x < width:
            dx[:, y, x] += dy[:, line, column] @ w[tap_y, tap_x].T
    return dx


def side_by_side(images: np.ndarray, abreast: int) -> np.ndarray:
    """Images [B, H, W, C] as rows, of so many abreast."""
    blocks = images.reshape(-1, abreast, *images.shape[1:])
    return blocks.transpose(0, 2, 3, 1, 4).reshape(-1, images.shape[3])


CASES = {
    # Input's images, channels of the output, kernel.
    "same": ((2, 5, 4, 6), 8, Kernel((3, 3), (1, 1), (1, 1))),
    "strided": ((2, 6, 8, 9), 5, Kernel((3, 3), (2, 2), (1, 1))),
    "odd": ((1, 7, 5, 4), 8, Kernel((3, 2), (2, 3), (0, 1))),
    "pixels": ((2, 4, 6, 8), 10, Kernel((1, 1), (2, 2))),
    "dilated": ((1, 9, 8, 3), 8, Kernel((3, 2), (2, 2), (2, 0), dilation=(3, 2))),
    "lines": ((2, 7, 4, 8), 4, Kernel((3, 3), (2, 1), (1, 1))),
    "wide": ((1, 4, 26, 4), 4, Kernel((2, 4), (2, 2), (0, 1))),
}
VECTORS = replace(LANES, name="spreading", vector_lanes=4)
RUNS = [(case, PAGED, name, 1) for case in CASES for name in DEVICES]
RUNS += [(case, LANES, name, 1) for case in ("same", "lines") for name in DEVICES]
RUNS += [(case, VECTORS, "model", 1) for case in CASES]
RUNS += [(case, LANES, name, 2) for case in ("strided", "pixels", "lines") for name in DEVICES]


IDS = [f"{r[0]}-{r[1].name}-{r[2]}-{r[3]}" for r in RUNS]
SPREADING = pytest.param("strided", VECTORS, "simulated", 1, marks=pytest.mark.slow, id="spreading")


@pytest.mark.parametrize(
    ("case", "config", "name", "abreast"),
    [*(pytest.param(*run, id=name) for run, name in zip(RUNS, IDS, strict=True)), SPREADING],
)
def test_a_transposed_convolution(case, config, name, abreast):
    """With an addend, which the vector unit has none of, and a mask."""
    shape, outputs, kernel = CASES[case]
    rng = np.random.default_rng(len(case))
    output = OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16
    builder = TrainingBuilder(config)
    pixels = int(np.prod(shape[:3]))
    dx, more, forward = (
        Images(builder.tensor(pixels, shape[3]), *shape[1:3], abreast) for _ in range(3)
    )
    height, width = kernel.out(dx)
    dy = Images(builder.tensor(shape[0] * height * width, outputs), height, width, abreast)
    values = rng.integers(-2, 3, (shape[0], height, width, outputs)).astype(float)
    w = rng.integers(-2, 3, (*kernel.size, shape[3], outputs)).astype(float)
    w[rng.random(w.shape) < 0.4] = 0
    added, stored = rng.integers(-9, 10, (2, *shape)) * rng.integers(0, 2, (2, *shape))
    weights = [
        packing.pack(phase.matrix(w), config.format) for phase in pixel_phases(kernel, *shape[1:3])
    ]
    settings = settings_of(config, shape[3])
    by_vector = needs_vector(dx, kernel.stride)
    beside = None if by_vector else more, forward
    builder.convolution_transposed(dy, kernel, weights, settings, output, dx, *beside)
    program = builder.program()
    # No zero between the output's pixels is multiplied: each weight is kept in one phase at most.
    assert sum(np.count_nonzero(each.values) for each in weights) <= np.count_nonzero(w)
    with Device(DEVICES[name](config), config.name) as device:
        programs.load(device, program)
        for images, content in ((dy, values), (more, added), (forward, stored)):
            tensor = images.tensor
            raw = to_raw(side_by_side(content, abreast).astype(float), config.format)
            device.write_memory(tensor.address, tensor.to_words(raw))
        counters = programs.run(device, program)
        assert counters["errors"] == 0 and not device.flags()
        tensor = dx.tensor
        got = tensor.from_words(device.read_memory(tensor.address, tensor.words))
    expected = np.where(
        stored, spread_back(values, w, kernel, *shape[1:3]) + added * (not by_vector), 0
    )
    assert abs(expected).max() < 127
    assert (
        got.view("i1" if config.format is INT8 else "<f2") == side_by_side(expected, abreast)
    ).all()


def test_phases_by_hand():
    """A kernel of three, stride two, one of padding: even pixels have the middle tap, odd ones the
    last, of the output pixel before, and the first."""
    even, odd = pixel_phases(Kernel((1, 3), (1, 2), (0, 1)), 1, 6)
    assert (even.first, even.width, even.taps[1], even.kernel.padding[1]) == ((0, 0), 3, (1,), 0)
    assert (odd.first, odd.width, odd.taps[1], odd.kernel.padding[1]) == ((0, 1), 3, (2, 0), 0)
    w = np.arange(6.0).reshape(1, 3, 1, 2)
    assert even.matrix(w)[:2].tolist() == [[2.0], [3.0]]
    assert odd.matrix(w)[[0, 1, 8, 9]].tolist() == [[4.0], [5.0], [0.0], [1.0]]


def test_what_cannot_be_built():
    builder = TrainingBuilder(preset("small"))
    dx, dy = Images(builder.tensor(16, 8), 4, 4), Images(builder.tensor(4, 8), 2, 2)
    kernel, settings = Kernel((2, 2), (2, 2)), settings_of(builder.config, 8)
    phases = pixel_phases(kernel, 4, 4)
    weights = [packing.pack(phase.matrix(np.ones((2, 2, 8, 8)))) for phase in phases]
    with pytest.raises(FormatError, match="of 2 x 2 pixels, not 1 images of 4 x 4 x 8, with"):
        builder.convolution_transposed(dx, kernel, weights, settings, OutputFormat.FP16, dx)
    with pytest.raises(FormatError, match=r"weights of \[8, 8, 8, 8\] rows, by phase"):
        builder.convolution_transposed(dy, kernel, weights[1:], settings, OutputFormat.FP16, dx)
    builder = TrainingBuilder(LANES)
    dx, dy = Images(builder.tensor(16, 8), 4, 4), Images(builder.tensor(4, 8), 2, 2)
    with pytest.raises(FormatError, match="'lanes' has no vector unit: build one with vector_lane"):
        builder.convolution_transposed(dy, kernel, weights, settings, OutputFormat.FP16, dx)
    two = [Images(builder.tensor(2 * n * n, 8), n, n, 2) for n in (2, 4)]
    with pytest.raises(FormatError, match="as many images go abreast in all"):
        builder.convolution_transposed(
            two[0],
            kernel,
            weights,
            settings,
            OutputFormat.FP16,
            two[1],
            None,
            replace(two[1], abreast=1),
        )
    with pytest.raises(FormatError, match="stored in 2 lanes: an addend must be added on its own"):
        builder.convolution_transposed(dy, kernel, weights, settings, OutputFormat.FP16, dx, dx)
