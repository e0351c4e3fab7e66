"""Programs of the vector unit that pool: the largest, the mean, and how a gradient goes back.

No window leaves its image. Rows of a tensor are pixels (image, y, x) of images of `image` lines and
columns, so many of them `abreast` (`walks.Images`); a pooled tensor's rows are windows likewise.
"""

from ...hw.isa.vector import Op
from ..errors import FormatError
from .tensors import Tensor
from .vector import Assembly
from .vector_program import MORE, OTHER, VectorProgram, X, Y, lay, over, same, spans_of
from .walks import pixel_steps


def max_pool(
    x: Tensor,
    y: Tensor,
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    abreast: int = 1,
) -> VectorProgram:
    """The largest of each window, as IEEE's maximum has it.

    Raises `FormatError` for an image that is smaller than its kernel, or tensors of other shapes.
    """
    return _pool(x, y, image, kernel, stride, abreast, Op.MAX)


def average_pool(
    x: Tensor,
    y: Tensor,
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    abreast: int = 1,
) -> VectorProgram:
    """The sum of each window, line by line from its first pixel on, times a binary32 1 / pixels; as
    `max_pool` else."""
    return _pool(x, y, image, kernel, stride, abreast, Op.ADD)


def max_unpool(
    x: Tensor,
    y: Tensor,
    dy: Tensor,
    dx: Tensor,
    image: tuple[int, int],
    size: int,
    abreast: int = 1,
) -> VectorProgram:
    """What the largest of `size` x `size` pixels goes back as: ``dy`` of a window to the first of
    its largest pixels, by lines, and +0 to the others; `y` is what `max_pool` made of `x`.

    Raises `FormatError` if windows leave pixels over, or for tensors of other shapes.
    """
    lines, columns = image
    if size < 1 or lines % size or columns % size:
        raise FormatError(f"images of {lines} x {columns} are no windows of {size} x {size}")
    same(x, dx)
    same(y, dy)
    code = Assembly(x.config)
    steps = _windows(code, x, y, image, (size, size), size, abreast)
    for stream, tensor in ((X, x), (Y, dx)):
        lay(code, stream, tensor, steps)
    for stream, tensor in ((OTHER, y), (MORE, dy)):
        lay(code, stream, tensor)
    pixel, largest, gradient, found, here, made = range(6)
    code.load(largest, OTHER)
    code.load(gradient, MORE)
    code.work(Op.COPY, found, b=0.0)
    for number in range(size * size):
        further = _further(number, size, columns) * abreast
        code.load(pixel, X, rows=further)
        code.work(Op.EQUAL, here, pixel, largest)
        code.work(Op.LESS, made, found, here)
        code.work(Op.SELECT, made, gradient, 0.0)
        code.work(Op.MAX, found, found, here)
        code.store(Y, made, rows=further)
    return VectorProgram(code, spans_of(y), y.rows, (x, y, dy, dx))


def global_average(x: Tensor, y: Tensor, pixels: int) -> VectorProgram:
    """The mean of each image's `pixels` rows: their sum from the first one on, times a binary32
    1 / pixels."""
    if x.columns != y.columns or x.rows != y.rows * pixels or pixels < 1:
        raise FormatError(
            f"{y.rows} images of {pixels} pixels and {y.columns} channels are "
            f"{y.rows * pixels} x {y.columns} elements, not {x.rows} x {x.columns}"
        )
    code = Assembly(x.config)
    lay(code, X, x, (pixels, 1, 1))
    lay(code, Y, y)
    code.load(0, X, rows=1)
    if pixels > 1:
        code.loop(pixels - 1)
        code.load(1, X, rows=1)
        code.work(Op.ADD, 0, 0, 1)
        code.end()
    code.work(Op.MUL, 0, 0, 1 / pixels)
    return over(code, y, x)


def _pool(x: Tensor, y: Tensor, image, kernel, stride: int, abreast: int, op: Op) -> VectorProgram:
    high, wide = kernel
    code = Assembly(x.config)
    lay(code, X, x, _windows(code, x, y, image, kernel, stride, abreast))
    lay(code, Y, y)
    for number in range(high * wide):
        further = _further(number, wide, image[1])
        code.load(1 if number else 0, X, rows=further * abreast)
        if number:
            code.work(op, 0, 0, 1)
    if op is Op.ADD:
        code.work(Op.MUL, 0, 0, 1 / (high * wide))
    return over(code, y, x)


def _further(number: int, wide: int, columns: int) -> int:
    """From a window's pixel to its next one: to the right, and from a line's last to the next
    line's first."""
    return 1 if (number + 1) % wide else columns - wide + 1


def _windows(
    code: Assembly, x: Tensor, y: Tensor, image, kernel, stride: int, abreast: int
) -> tuple[int, ...]:
    """Make the program go through the windows, and return a stream of pixels' steps.

    Raises `FormatError` for an image that is smaller than its kernel, or tensors of other shapes.
    """
    (lines, columns), (high, wide) = image, kernel
    if min(high, wide, stride) < 1 or high > lines or wide > columns:
        raise FormatError(
            f"an image of {lines} x {columns} is smaller than its kernel of {high} x {wide}, or a "
            f"stride of {stride} is none"
        )
    lines_out, columns_out = (lines - high) // stride + 1, (columns - wide) // stride + 1
    images, rest = divmod(x.rows, lines * columns)
    rest = rest or images % abreast
    if rest or y.rows != images * lines_out * columns_out or x.columns != y.columns:
        raise FormatError(
            f"pooling images of {lines} x {columns} pixels by {high} x {wide}, stride {stride}, "
            f"makes {lines_out} x {columns_out} of each: {x.rows} x {x.columns} elements cannot "
            f"become {y.rows} x {y.columns}"
        )
    steps = pixel_steps(image, (lines_out, columns_out), (stride, stride))
    _, to_line, to_block = steps
    if abreast == 1:
        code.shape(columns_out, lines_out)
        return steps
    if to_block != to_line:
        raise FormatError(
            f"pooling by {high} x {wide}, stride {stride}, leaves lines of {lines} over: "
            "with images abreast it must not"
        )
    # Images take turns; a step leads from the last one of a pixel to the first one of the next.
    code.shape(abreast, columns_out)
    return (1, *(pixels * abreast - abreast + 1 for pixels in (stride, to_line)))
