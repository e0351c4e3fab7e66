"""Convolutions as programs, on the model and on Verilog with and without stalls, against sums over
pixels."""

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.formats import FP16, INT8, OutputFormat
from heddle.sw.compiler import nm, packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.walks import Images, Kernel, Walk, as_matrix
from heddle.sw.errors import FormatError
from heddle.sw.host import programs


def convolved(x: np.ndarray, w: np.ndarray, kernel: Kernel, groups: int = 1) -> np.ndarray:
    """Images [B, H, W, C] under w [taps' lines, columns, C / groups, outputs], pixel by pixel."""
    count, height, width, _ = x.shape
    each, depth = w.shape[3] // groups, w.shape[2]
    (down, right), (above, left) = kernel.stride, kernel.padding
    lines = (height + 2 * above - kernel.dilation[0] * (w.shape[0] - 1) - 1) // down + 1
    columns = (width + 2 * left - kernel.dilation[1] * (w.shape[1] - 1) - 1) // right + 1
    out = np.zeros((count, lines, columns, w.shape[3]))
    for line, column, tap_y, tap_x in np.ndindex(lines, columns, *w.shape[:2]):
        y = line * down - above + tap_y * kernel.dilation[0]
        at = column * right - left + tap_x * kernel.dilation[1]
        if 0 <= y < height and 0 <= at < width:
            for group in range(groups):
                own = slice(group * each, (group + 1) * each)
                taken = x[:, y, at, group * depth : (group + 1) * depth]
                out[:, line, column, own] += taken @ w[tap_y, tap_x, :, own]
    return out


CASES = {
    # Images, channels out, groups of channels, kernel; and how many images go abreast.
    "same": ((2, 5, 6, 8), 9, 1, Kernel((3, 3), padding=(1, 1))),
    "strided": ((3, 6, 7, 16), 5, 1, Kernel((3, 2), (2, 3), (1, 0))),
    "dilated": ((1, 7, 6, 3), 8, 1, Kernel((2, 3), (1, 1), (0, 2), dilation=(3, 2))),
    "pixels": ((2, 3, 4, 24), 10, 1, Kernel((1, 1), (1, 2))),
    "depth-wise": ((1, 5, 5, 12), 12, 12, Kernel((3, 3), padding=(1, 1))),
    "whole": ((4, 3, 3, 8), 7, 1, Kernel((3, 3))),
    "abreast": ((4, 6, 7, 16), 5, 1, Kernel((3, 2), (2, 3), (1, 0)), 2),
    "all abreast": ((4, 4, 4, 8), 9, 1, Kernel((3, 3), (2, 2), (1, 1)), 4),
}


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_of_a_convolution(device, case):
    """The second one takes what the first one stored, pixel by pixel."""
    config, (shape, outputs, groups, kernel, *more) = device.config, CASES[case]
    abreast = more[0] if more else 1
    rng = np.random.default_rng(len(case))
    output = OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16
    x = rng.integers(-1, 2, shape).astype(float)
    w = rng.choice([-1.0, 0, 0, 1.0], (*kernel.size, shape[3] // groups, outputs))
    first = as_matrix(w, groups, config.group)
    second = nm.prune(rng.choice([-1.0, 1.0], (-(-outputs // 8) * 8, 4)), 2, 8)
    builder = Builder(config)
    images = Images(builder.tensor(x[..., 0].size, shape[3]), *shape[1:3], abreast)
    height, width = kernel.out(images)
    pixels = shape[0] * height * width
    middle = images.made(builder.tensor(pixels, outputs), kernel)
    last = Images(builder.tensor(pixels, 4), height, width, abreast)

    def rows(values: np.ndarray) -> np.ndarray:
        """Of images [B, H, W, C]: so many of them take turns, pixel by pixel."""
        blocks = np.split(values, len(values) // abreast)
        return np.concatenate([np.stack(block, axis=2) for block in blocks]).reshape(
            -1, values.shape[3]
        )

    for taken, window, weights, made in (
        (images, kernel, first, middle),
        (middle, Kernel((1, 1)), second, last),
    ):
        packed = packing.pack(weights, config.format)
        settings = settings_of(config, weights.shape[1])
        builder.convolution(taken, window, packed, settings, True, output, made)
    program = builder.program()
    programs.load(device, program)
    tensor = images.tensor
    raw = to_raw(rows(x), config.format, "x")
    device.write_memory(tensor.address, tensor.to_words(raw))
    counters = programs.run(device, program)
    value = np.maximum(convolved(x, w, kernel, groups), 0)
    padded = np.pad(value, ((0, 0),) * 3 + ((0, -outputs % 8),))
    for made, expected in ((middle, value), (last, np.maximum(padded @ second, 0))):
        tensor = made.tensor
        got = tensor.from_words(device.read_memory(tensor.address, tensor.words))
        assert abs(expected).max() < 127
        assert (got.view("i1" if config.format is INT8 else "<f2") == rows(expected)).all()
    assert not device.flags() and counters["errors"] == 0


@pytest.fixture
def builder():
    return Builder(preset("small"))


def test_images_that_are_none(builder):
    tensor = builder.tensor(12, 8)
    with pytest.raises(FormatError, match="12 rows are no images of 5 x 2 pixels"):
        Images(tensor, 5, 2)
    with pytest.raises(FormatError, match="a power of two of images go abreast, not 3"):
        Images(tensor, 2, 2, 3)
    with pytest.raises(FormatError, match="3 images of 2 x 2 x 8 cannot go 2 abreast"):
        Images(tensor, 2, 2, 2)
    with pytest.raises(FormatError, match="cannot go 16 abreast, in blocks of 8 rows"):
        Images(builder.tensor(16, 8), 1, 1, 16)
    with pytest.raises(FormatError, match="as many images go abreast in all tensors"):
        x, y = builder.tensor(16, 8), builder.tensor(16, 8)
        weights, settings = packing.pack(np.ones((8, 8)), FP16), settings_of(builder.config, 8)
        two, one = Images(x, 2, 4, 2), Images(y, 2, 4)
        builder.convolution(two, Kernel((1, 1)), weights, settings, False, OutputFormat.FP16, one)
    with pytest.raises(FormatError, match="an image of 3 x 4 pixels is smaller than a kernel of 5"):
        Walk.convolution(builder.config, Images(tensor, 3, 4), Kernel((5, 5)))
    with pytest.raises(FormatError, match="kernel_width is 16, and a device counts to 15"):
        wide = Images(builder.tensor(32, 8), 1, 32)
        Walk.convolution(builder.config, wide, Kernel((1, 16)))


def test_weights_and_images_of_other_shapes(builder):
    x = Images(builder.tensor(16, 8), 4, 4)
    y = Images(builder.tensor(16, 4), 4, 4)
    settings = settings_of(builder.config, 4)
    kernel = Kernel((3, 3), padding=(1, 1))
    for weights, made, text in (
        (np.ones((64, 4)), y, r"needs weights of \[72, 4\], not \[64, 4\]"),
        (np.ones((72, 4)), Images(builder.tensor(4, 4), 2, 2), r"makes images of \[4, 4\] pixels"),
    ):
        packed = packing.pack(weights, builder.config.format)
        with pytest.raises(FormatError, match=text):
            builder.convolution(x, kernel, packed, settings, False, OutputFormat.FP16, made)
