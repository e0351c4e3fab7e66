"""An assembler for the vector unit: instructions one after another, and the command that runs them.

Registers are numbers, constants Python floats; `bits` is for what is no number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import (
    AXES,
    COMPARISONS,
    MOST_INSTRUCTIONS,
    REGISTERS,
    SERVES_ALL,
    STREAMS,
    Instruction,
    Op,
    program_words,
    sizes,
)
from ..errors import FormatError

COUNT = 1 << 16


@dataclass(frozen=True)
class bits:
    """A constant by its 32 bits."""

    value: int


@dataclass(frozen=True)
class strip:
    """An operand: the next strip of this stream, its elements as they are; its cursor stays."""

    stream: int


@dataclass
class Assembly:
    """A program of the vector unit under construction."""

    config: Config
    instructions: list[Instruction] = field(default_factory=list)
    _loop: bool = False
    _written: set[int] = field(default_factory=set)
    _compared: bool = False

    def work(
        self,
        op: Op,
        target: int,
        a: int | strip = 0,
        b: int | float | bits = 0,
        exchange: int = 0,
        to: int | None = None,
    ) -> None:
        """``target = op(a, b)``; `b` is a register if it is an int. With an `exchange` of d, a
        power of two below M, element i of a span meets element ``i ^ d`` of `b`. The result also
        goes `to` a stream, if one is named: its low bits, as many as an element has.

        Raises `FormatError` for what the device has not, and for a register that nothing was
        written to before: it holds what another program left.
        """
        constant = not isinstance(b, int)
        stream = to
        if isinstance(a, strip):
            if to is not None:
                raise FormatError("an operation takes an operand of a stream or gives to one: LOAD")
            stream = a.stream
        if stream is not None:
            self._stream(stream)
        if op != Op.COPY and isinstance(a, int):
            self._read(a)
        if not constant:
            self._read(b)  # type: ignore[arg-type]
        if op == Op.SELECT and not self._compared:
            raise FormatError("SELECT goes by the last comparison, and there is none before it")
        self._compared |= op in COMPARISONS
        self._write(target)
        if exchange and exchange not in (1 << n for n in range(self.config.group.bit_length() - 1)):
            raise FormatError(
                f"elements {exchange} apart cannot be exchanged: only a power of two below "
                f"{self.config.group}"
            )
        value = b.value if isinstance(b, bits) else 0
        if isinstance(b, float):
            value = int(np.float32(b).view(np.uint32))
        self._add(
            Instruction(
                op,
                target,
                a if isinstance(a, int) else 0,
                0 if constant else int(b),  # type: ignore[arg-type]
                constant,
                stream=stream or 0,
                exchange=exchange.bit_length(),
                value=value,
                from_stream=isinstance(a, strip),
                to_stream=to is not None,
            )
        )

    def stream(
        self,
        number: int,
        size: int,
        pitch: int,
        steps: Sequence[int] = (1,) * AXES,
        serves_all: bool = False,
    ) -> None:
        """How stream `number` lies: bytes of an element, words from window to window, how many rows
        it goes on to the next row, line and image, and whether one span serves all of a row."""
        if size not in sizes(self.config):
            raise FormatError(
                f"the vector unit has no elements of {size} bytes beside "
                f"{self.config.format.name}: only of {', '.join(map(str, sizes(self.config)))}"
            )
        self._stream(number)
        self._add(Instruction(Op.PITCH, stream=number, value=self._count("pitch", pitch)))
        self._add(
            Instruction(Op.SIZE, stream=number, value=size + (SERVES_ALL if serves_all else 0))
        )
        for axis, step in enumerate(steps):
            if step != 1:
                value = step % COUNT
                self._add(Instruction(Op.STEP, stream=number, exchange=axis, value=value))

    def shape(self, columns: int, lines: int) -> None:
        """Rows of a line, and lines of an image: where the second and third step are made."""
        self._add(Instruction(Op.COLUMNS, value=self._count("columns", columns)))
        self._add(Instruction(Op.LINES, value=self._count("lines", lines)))

    def load(self, target: int, stream: int, rows: int = 0, spans: int = 0) -> None:
        """Take a strip from where the stream's cursor is, and move that so many rows and spans."""
        self._stream(stream)
        self._write(target)
        self._add(Instruction(Op.LOAD, target, stream=stream, value=_cursor(rows, spans)))

    def store(self, stream: int, a: int, rows: int = 0, spans: int = 0) -> None:
        """Write register `a` there, likewise."""
        self._stream(stream)
        self._read(a)
        self._add(Instruction(Op.STORE, a=a, stream=stream, value=_cursor(rows, spans)))

    def seek(self, stream: int, rows: int = 0, spans: int = 0) -> None:
        """Move the stream's cursor; a strip begins with 0, 0."""
        self._stream(stream)
        self._add(Instruction(Op.SEEK, stream=stream, value=_cursor(rows, spans)))

    def loop(self, times: int) -> None:
        """Do what follows, up to `end`, so many times."""
        if self._loop or times < 1:
            raise FormatError("a loop holds no loop, and is done at least once")
        self._loop = True
        self._add(Instruction(Op.LOOP, value=self._count("times", times)))

    def end(self) -> None:
        if not self._loop:
            raise FormatError("there is no loop to end")
        self._loop = False
        self._add(Instruction(Op.END))

    @property
    def loaded(self) -> set[int]:
        """Streams that are read."""
        return {i.stream for i in self.instructions if i.loads}

    @property
    def stored(self) -> set[int]:
        """Streams that are written."""
        return {i.stream for i in self.instructions if i.stores}

    def content(self) -> bytes:
        """The program as whole words of tensor memory. Raises `FormatError` if it is too long."""
        count = len(self.instructions)
        if not 0 < count <= MOST_INSTRUCTIONS or self._loop:
            raise FormatError(
                f"a program has 1 to {MOST_INSTRUCTIONS} instructions, not {count}, and ends its "
                "loops"
            )
        code = b"".join(i.encode() for i in self.instructions)
        return code.ljust(program_words(self.config, count) * self.config.stream_bytes, b"\0")

    def command(
        self,
        program: int,
        spans: int,
        rows: int,
        streams: Sequence[tuple[int, int]],
        waits: int = 0,
    ) -> Vector:
        """The command for a program at word `program`, with the first word and the number of words
        of each stream."""
        fields = {}
        for number, (base, words) in enumerate(streams):
            fields |= {f"base_{number}": base, f"words_{number}": words}
        return Vector(
            program=program,
            instructions=len(self.instructions),
            spans=spans,
            rows=rows,
            waits=waits,
            **fields,
        )

    def _add(self, instruction: Instruction) -> None:
        self.instructions.append(instruction)

    def _read(self, register: int) -> None:
        if register not in self._written:
            raise FormatError(f"nothing was written to register {register} before it is read")

    def _write(self, register: int) -> None:
        if not 0 <= register < REGISTERS:
            raise FormatError(f"there is no register {register}, but 0 to {REGISTERS - 1}")
        self._written.add(register)

    def _stream(self, number: int) -> None:
        if not 0 <= number < STREAMS:
            raise FormatError(f"there is no stream {number}, but 0 to {STREAMS - 1}")

    @staticmethod
    def _count(name: str, value: int) -> int:
        if not 0 <= value < COUNT:
            raise FormatError(f"{name} must be from 0 to {COUNT - 1}, not {value}")
        return value


def _cursor(rows: int, spans: int) -> int:
    return rows % COUNT | spans % COUNT << 16
