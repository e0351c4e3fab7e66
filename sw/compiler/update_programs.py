"""Programs of the vector unit that change what is trained: one IEEE operation after another, in the
order that is told, so that NumPy's float32 does the same in every bit."""

from ...hw.isa.vector import Op
from .tensors import Tensor
from .vector import strip
from .vector_program import OTHER, VectorProgram, X, Y, elementwise, lay, same, spans_of


def momentum(
    dw: Tensor, w: Tensor, v: Tensor, keep: float, decay: float, rate: float
) -> VectorProgram:
    """``v = v * keep + (dw + w * decay)``, then ``w = w - v * rate``, in place; all FP32."""
    code = elementwise(dw, w)
    same(dw, v)
    lay(code, OTHER, v)
    # What is stored last, w, is not what a strip begins with: it may still be on its way.
    code.work(Op.MUL, 2, strip(OTHER), keep)
    code.load(0, Y)
    code.work(Op.MUL, 1, 0, decay)
    code.work(Op.ADD, 1, strip(X), 1)
    code.work(Op.ADD, 2, 2, 1, to=OTHER)
    code.work(Op.MUL, 2, 2, rate)
    code.work(Op.SUB, 0, 0, 2, to=Y)
    return VectorProgram(code, spans_of(w), w.rows, (dw, v, None, w))
