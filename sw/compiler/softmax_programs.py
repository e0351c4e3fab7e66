"""Programs of the vector unit over the scores of classes: softmax, cross-entropy, and its gradient.

Sums are M interleaved ones, over elements i, i + M, …, which are then added in pairs M/2 apart,
M/4, … 1 apart. exp, 1 / sum and log are those of `vector_functions`.

`targets` are FP32 of the scores' shape: 1 at a row's class, 0 at the others (or chances that add up
to 1), and -infinity where a column is no class and only fills the row.
"""

from collections.abc import Iterator

from ...hw.isa.vector import Op
from ..errors import FormatError
from . import vector_functions as functions
from .tensors import Tensor
from .vector import Assembly
from .vector_program import MORE, OTHER, VectorProgram, X, Y, lay, same, spans_of

LARGEST, TOTAL, VALUE, TARGET, PICKED, ZERO = range(6)
SPARE = (6, 7, 8, 9)
"""Registers."""
MOST_SPANS = 4
"""Of a row whose scores, exponentials and targets are all in registers: a program for more of them
has too many instructions."""
NOTHING = float("-inf")


def softmax(x: Tensor, channels: Tensor, y: Tensor) -> VectorProgram:
    """``y = exp(x - max) / sum`` of each row.

    `channels` is one row of FP32: 0 for a channel that counts, -infinity for one that only fills
    the row.
    """
    same(x, y)
    if (channels.rows, channels.columns) != (1, x.columns):
        raise FormatError(f"which of {x.columns} channels count is a tensor of 1 x {x.columns}")
    code = _begun(x, channels, y)
    _sum_up(code, spans_of(x))
    for _ in _chances(code, spans_of(x)):
        code.store(Y, VALUE, spans=1)
    return VectorProgram(code, 1, y.rows, (x, channels, None, y))


def losses(
    x: Tensor, targets: Tensor, dx: Tensor, loss: Tensor, factor: float
) -> list[VectorProgram]:
    """What makes `loss_gradient` and `cross_entropy`: one program that computes each exponential
    once, if a row has no more than `MOST_SPANS` spans."""
    if spans_of(x) > MOST_SPANS:
        return [loss_gradient(x, targets, dx, factor), cross_entropy(x, targets, loss)]
    same(x, dx)
    _check(x, targets, loss)
    code = _begun(x, targets, dx)
    lay(code, MORE, loss)
    first = max(SPARE) + 1
    spans = [range(at, at + 3) for at in range(first, first + 3 * spans_of(x), 3)]
    code.work(Op.COPY, LARGEST, b=NOTHING)
    for value, _, target in spans:
        _load(code, value, target)
        code.work(Op.MAX, LARGEST, LARGEST, value)
    _over_all(code, Op.MAX, LARGEST)
    code.work(Op.COPY, ZERO, b=0.0)
    code.work(Op.COPY, TOTAL, b=0.0)
    code.work(Op.COPY, PICKED, b=0.0)
    for value, chance, target in spans:
        code.work(Op.SUB, value, value, LARGEST)
        code.work(Op.COPY, chance, b=value)
        functions.exp(code, chance, SPARE)
        code.work(Op.ADD, TOTAL, TOTAL, chance)
        _pick(code, value, target)
    _over_all(code, Op.ADD, TOTAL)
    code.work(Op.COPY, VALUE, b=TOTAL)
    functions.reciprocal(code, VALUE, SPARE)
    for _, chance, target in spans:
        code.work(Op.MUL, chance, chance, VALUE)
        _give(code, chance, target, factor)
    _end(code, MORE)
    return [VectorProgram(code, 1, dx.rows, (x, targets, loss, dx))]


def loss_gradient(x: Tensor, targets: Tensor, dx: Tensor, factor: float) -> VectorProgram:
    """``dx = (softmax(x) - targets) * factor``: what the cross-entropies of all rows change by with
    their scores, if `factor` is 1; 0 where a column is no class."""
    same(x, dx)
    same(x, targets)
    code = _begun(x, targets, dx)
    _sum_up(code, spans_of(x))
    for _ in _chances(code, spans_of(x)):
        _give(code, VALUE, TARGET, factor)
    return VectorProgram(code, 1, dx.rows, (x, targets, None, dx))


def cross_entropy(x: Tensor, targets: Tensor, loss: Tensor) -> VectorProgram:
    """``loss = log(sum of exp(x - max)) - (x - max) at the row's class``, M times in each row of
    `loss` [rows, M]."""
    _check(x, targets, loss)
    code = _begun(x, targets, loss)
    code.work(Op.COPY, ZERO, b=0.0)
    code.work(Op.COPY, PICKED, b=0.0)
    _sum_up(code, spans_of(x))
    for _ in _each(code, spans_of(x)):
        code.work(Op.SUB, VALUE, VALUE, LARGEST)
        _pick(code, VALUE, TARGET)
    _end(code, Y)
    return VectorProgram(code, 1, loss.rows, (x, targets, None, loss))


def _check(x: Tensor, targets: Tensor, loss: Tensor) -> None:
    """Raises `FormatError` for targets or losses of another shape."""
    same(x, targets)
    group = x.config.group
    if (loss.rows, loss.columns) != (x.rows, group):
        raise FormatError(
            f"losses of {x.rows} rows are a tensor of {x.rows} x {group}, not of {loss.rows} x "
            f"{loss.columns}"
        )


def _begun(x: Tensor, beside: Tensor, y: Tensor) -> Assembly:
    """Streams: scores, what lies beside them in one row for all or in as many, the result."""
    code = Assembly(x.config)
    lay(code, X, x)
    lay(code, OTHER, beside, (1, 1, 1) if beside.rows == x.rows else (0, 0, 0))
    lay(code, Y, y)
    return code


def _each(code: Assembly, spans: int) -> Iterator[None]:
    """For each span of a row: VALUE is its scores, -infinity where none counts, TARGET what lies
    beside them."""
    code.seek(X)
    code.seek(OTHER)
    code.loop(spans)
    _load(code, VALUE, TARGET)
    yield
    code.end()


def _load(code: Assembly, value: int, target: int) -> None:
    code.load(value, X, spans=1)
    code.load(target, OTHER, spans=1)
    code.work(Op.MIN, SPARE[0], target, 0.0)
    code.work(Op.ADD, value, value, SPARE[0])


def _pick(code: Assembly, below: int, target: int) -> None:
    """Add what is at the class to PICKED; `below` is the score less the largest."""
    code.work(Op.MUL, below, below, target)
    code.work(Op.LESS_EQUAL, SPARE[0], target, 0.0)
    code.work(Op.SELECT, below, ZERO, below)
    code.work(Op.ADD, PICKED, PICKED, below)


def _give(code: Assembly, chance: int, target: int, factor: float) -> None:
    """The next span of a gradient."""
    code.work(Op.MAX, target, target, 0.0)
    code.work(Op.SUB, chance, chance, target)
    code.work(Op.MUL, chance, chance, factor)
    code.store(Y, chance, spans=1)


def _end(code: Assembly, loss: int) -> None:
    """What a row has lost, from TOTAL and PICKED."""
    _over_all(code, Op.ADD, PICKED)
    functions.log(code, TOTAL, SPARE)
    code.work(Op.SUB, TOTAL, TOTAL, PICKED)
    code.store(loss, TOTAL, spans=1)


def _sum_up(code: Assembly, spans: int) -> None:
    """LARGEST is the largest score of a row, TOTAL the sum of exp(score - largest)."""
    code.work(Op.COPY, LARGEST, b=NOTHING)
    for _ in _each(code, spans):
        code.work(Op.MAX, LARGEST, LARGEST, VALUE)
    _over_all(code, Op.MAX, LARGEST)
    code.work(Op.COPY, TOTAL, b=0.0)
    for _ in _each(code, spans):
        code.work(Op.SUB, VALUE, VALUE, LARGEST)
        functions.exp(code, VALUE, SPARE)
        code.work(Op.ADD, TOTAL, TOTAL, VALUE)
    _over_all(code, Op.ADD, TOTAL)


def _chances(code: Assembly, spans: int) -> Iterator[None]:
    """For each span of a row that is summed up: VALUE is its chances."""
    functions.reciprocal(code, TOTAL, SPARE)
    for _ in _each(code, spans):
        code.work(Op.SUB, VALUE, VALUE, LARGEST)
        functions.exp(code, VALUE, SPARE)
        code.work(Op.MUL, VALUE, VALUE, TOTAL)
        yield


def _over_all(code: Assembly, op: Op, register: int) -> None:
    """The same in all elements of a span."""
    apart = code.config.group // 2
    while apart:
        code.work(op, register, register, register, exchange=apart)
        apart //= 2
