"""What a program of the vector unit is, and what such programs are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import program_words, span_groups
from ..errors import FormatError
from .tensors import Tensor
from .vector import Assembly

X, OTHER, MORE, Y = range(4)
"""Streams: what is read, up to three, and the result. What is changed in place is read too."""


@dataclass(frozen=True)
class VectorProgram:
    """Instructions, and what they go over."""

    code: Assembly
    spans: int
    rows: int
    streams: tuple[Tensor | None, ...]
    """What each stream is."""
    guarded: bool = False
    """It does nothing once something was not finite (`descriptors.GUARDS`)."""

    @property
    def content(self) -> bytes:
        """What must lie in tensor memory, whole words."""
        return self.code.content()

    @property
    def reads(self) -> list[range]:
        """Words that are read, but for the program itself."""
        return self._words(self.code.loaded)

    @property
    def writes(self) -> list[range]:
        return self._words(self.code.stored)

    def program(self, address: int) -> range:
        """The words of the program, if it lies at word `address`."""
        words = program_words(self.code.config, len(self.code.instructions))
        return range(address, address + words)

    def command(self, address: int, waits: int = 0) -> Vector:
        """The command that runs the program that lies at word `address`."""
        streams = [(t.address, t.words) if t is not None else (0, 0) for t in self.streams]
        command = self.code.command(address, self.spans, self.rows, streams, waits)
        return replace(command, guarded=int(self.guarded))

    def _words(self, streams: set[int]) -> list[range]:
        """Of the tensors that these streams are."""
        tensors = (self.streams[number] for number in sorted(streams))
        return [range(t.address, t.address + t.words) for t in tensors if t is not None]


def elementwise(x: Tensor, y: Tensor) -> Assembly:
    """The beginning of a program whose streams are x and y, of one shape."""
    same(x, y)
    code = Assembly(x.config)
    lay(code, X, x)
    lay(code, Y, y)
    return code


def over(code: Assembly, y: Tensor, *read: Tensor) -> VectorProgram:
    """Register 0 is the result; over all its spans, one after another."""
    code.store(Y, 0)
    streams = (*read, *[None] * (Y - len(read)), y)
    return VectorProgram(code, spans_of(y), y.rows, streams)


def same(x: Tensor, y: Tensor) -> None:
    """Raises `FormatError` unless they have the same shape."""
    if (x.rows, x.columns) != (y.rows, y.columns):
        raise FormatError(
            f"tensors of {x.rows} x {x.columns} and {y.rows} x {y.columns} elements have not the "
            "same shape"
        )


def spans_of(tensor: Tensor) -> int:
    """Of a row."""
    return -(-tensor.columns // tensor.config.group)


def lay(code: Assembly, number: int, tensor: Tensor, steps: Sequence[int] = (1, 1, 1)) -> None:
    """How a tensor lies. Raises `FormatError` if its rows have not whole spans."""
    size = tensor.bits // 8
    code.stream(number, size, tensor.groups, steps)
    if tensor.groups != spans_of(tensor) * span_groups(tensor.config, size):
        raise FormatError(
            f"rows of {tensor.columns} elements of {tensor.bits} bits end within a span of "
            f"{tensor.config.group}: give the tensor a multiple of {tensor.config.group} columns"
        )
