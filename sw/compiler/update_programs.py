"""Programs of the vector unit that change what is trained: one IEEE operation after another, in the
order that is told, so that NumPy's float32 does the same in every bit."""

from ...hw.isa.vector import Op
from .tensors import Tensor
from .vector import Assembly
from .vector_program import MORE, OTHER, VectorProgram, X, elementwise, lay, over, same


def momentum(dw: Tensor, w: Tensor, v: Tensor, keep: float, decay: float) -> VectorProgram:
    """``v = v * keep + (dw + w * decay)``, in place; all FP32."""
    code = _beside(dw, v, w, v)
    code.load(2, MORE)
    code.work(Op.MUL, 1, 1, decay)
    code.work(Op.ADD, 0, 0, 1)
    code.work(Op.MUL, 2, 2, keep)
    code.work(Op.ADD, 0, 2, 0)
    return over(code, v, dw, w, v)


def descent(w: Tensor, v: Tensor, rate: float) -> VectorProgram:
    """``w = w - v * rate``, in place."""
    code = _beside(w, w, v)
    code.work(Op.MUL, 1, 1, rate)
    code.work(Op.SUB, 0, 0, 1)
    return over(code, w, w, v)


def _beside(x: Tensor, y: Tensor, other: Tensor, more: Tensor | None = None) -> Assembly:
    """The beginning of a program: register 0 is x, 1 what lies in its place in `other`."""
    code = elementwise(x, y)
    for number, tensor in ((OTHER, other), (MORE, more)):
        if tensor is not None:
            same(x, tensor)
            lay(code, number, tensor)
    code.load(0, X)
    code.load(1, OTHER)
    return code
