"""Programs of the vector unit: residual addition, affine, activations, conversions, RAW.

Each says in which order it adds and by which operations it approximates, so that NumPy's float32
does the same in every bit (docs/vector.md). Tensors are as `tensors` has them; columns are
channels, and a result has FP32, FP16 or INT8 elements as its tensor says.
"""

from collections.abc import Sequence

from ...hw.isa.vector import Op
from ..errors import FormatError
from . import vector_functions as functions
from .tensors import Tensor
from .vector import Assembly
from .vector_program import (
    MORE,
    OTHER,
    VectorProgram,
    X,
    Y,
    elementwise,
    lay,
    over,
    same,
    spans_of,
)
from .walks import pixel_steps


def convert(x: Tensor, y: Tensor) -> VectorProgram:
    """``y = x``, rounded once to nearest even; INT8 saturates."""
    code = elementwise(x, y)
    code.load(0, X)
    return over(code, y, x)


def relu(x: Tensor, y: Tensor) -> VectorProgram:
    """``y = max(x, +0)``: of -0 it makes +0."""
    code = elementwise(x, y)
    code.load(0, X)
    code.work(Op.MAX, 0, 0, 0.0)
    return over(code, y, x)


def affine(x: Tensor, scale: Tensor, shift: Tensor, y: Tensor, then_relu: bool) -> VectorProgram:
    """``y = relu?(x * scale + shift)``, with a `scale` and a `shift` for each channel: tensors of
    one row."""
    code = elementwise(x, y)
    for stream, row in ((OTHER, scale), (MORE, shift)):
        if (row.rows, row.columns) != (1, x.columns):
            raise FormatError(
                f"a scale and a shift for each of {x.columns} channels are tensors of 1 x "
                f"{x.columns} elements, not {row.rows} x {row.columns}"
            )
        lay(code, stream, row, (0, 0, 0))
    code.load(0, X)
    code.load(1, OTHER)
    code.load(2, MORE)
    code.work(Op.MUL, 0, 0, 1)
    code.work(Op.ADD, 0, 0, 2)
    if then_relu:
        code.work(Op.MAX, 0, 0, 0.0)
    return over(code, y, x, scale, shift)


def residual(
    x: Tensor, other: Tensor, y: Tensor, scales: tuple[float, float], then_relu: bool
) -> VectorProgram:
    """``y = relu?(x * scales[0] + other * scales[1])``."""
    code = elementwise(x, y)
    same(x, other)
    lay(code, OTHER, other)
    code.load(0, X)
    code.load(1, OTHER)
    for register, scale in enumerate(scales):
        if scale != 1:
            code.work(Op.MUL, register, register, float(scale))
    code.work(Op.ADD, 0, 0, 1)
    if then_relu:
        code.work(Op.MAX, 0, 0, 0.0)
    return over(code, y, x, other)


def sigmoid(x: Tensor, y: Tensor) -> VectorProgram:
    """``y = 1 / (1 + exp(-x))`` (`vector_functions.sigmoid`)."""
    code = elementwise(x, y)
    code.load(0, X)
    functions.sigmoid(code, 0, (1, 2, 3, 4))
    return over(code, y, x)


def from_raw(planes: Sequence[Tensor], y: Tensor, unit_log2: int) -> VectorProgram:
    """Exact sums, in units of ``2**unit_log2``, rounded once to binary32, and again if `y` is less.

    `planes` are their 32-bit limbs, the lowest first: four tensors of one shape, equally far apart.
    """
    first, shape = planes[0], (planes[0].rows, planes[0].columns, planes[0].bits)
    apart = planes[1].address - first.address
    if (
        len(planes) != 4
        or first.bits != 32
        or any((p.rows, p.columns, p.bits) != shape for p in planes)
        or [p.address - first.address for p in planes] != [n * apart for n in range(4)]
        or apart < first.words
        or apart % first.groups
    ):
        raise FormatError(
            "exact sums are four tensors of 32-bit limbs of one shape, one behind the other at "
            f"equal distances that are a multiple of a window's {first.groups} words"
        )
    same(first, y)
    rows = apart // first.groups * first.config.lanes
    whole = Tensor(first.config, first.address, 3 * rows + first.rows, first.columns, 32)
    code = Assembly(first.config)
    lay(code, X, whole)
    lay(code, Y, y)
    for limb in range(4):
        code.load(limb, X, rows=rows)
    functions.nearest(code, (0, 1, 2, 3), (4, 5, 6, 7), unit_log2)
    return over(code, y, whole)


def spread(
    x: Tensor,
    y: Tensor,
    image: tuple[int, int],
    size: tuple[int, int],
    first: tuple[int, int],
    stride: tuple[int, int],
    mask: Tensor | None = None,
) -> VectorProgram:
    """Rows of `x`, which are pixels of images of `size` lines and columns, to every so many pixels
    of those of `y`, of `image` lines and columns, from line and column `first` on; +0 where `mask`
    has a zero there.

    Raises `FormatError` for tensors of other shapes, and for pixels that leave their image.
    """
    (lines, columns), (high, wide), (above, left), (down, right) = image, size, first, stride
    images, rest = divmod(y.rows, lines * columns)
    last = above + (high - 1) * down, left + (wide - 1) * right
    if (
        rest
        or (x.rows, x.columns) != (images * high * wide, y.columns)
        or last[0] >= lines
        or last[1] >= columns
    ):
        raise FormatError(
            f"{x.rows} x {x.columns} elements cannot become pixels {down} x {right} apart, from "
            f"{first} on, of images of {lines} x {columns}, which are {y.rows} x {y.columns}"
        )
    code = Assembly(x.config)
    steps = pixel_steps(image, size, stride)
    code.shape(wide, high)
    lay(code, X, x)
    lay(code, Y, y, steps)
    start = above * columns + left
    code.load(0, X)
    if mask is not None:
        same(mask, y)
        lay(code, OTHER, mask, steps)
        code.seek(OTHER, rows=start)
        code.load(1, OTHER)
        code.work(Op.COPY, 2, b=0.0)
        code.work(Op.EQUAL, 3, 1, 0.0)
        code.work(Op.SELECT, 0, 2, 0)
    code.seek(Y, rows=start)
    code.store(Y, 0)
    beside = [] if mask is None else [mask]
    streams = (x, *beside, *[None] * (Y - 1 - len(beside)), y)
    return VectorProgram(code, spans_of(y), x.rows, streams)
