"""The vector unit's instructions: what a microprogram is made of (docs/vector.md).

A program works on *spans*: M elements of one row of a tensor, one after another. It goes through
them in strips of as many spans as a register holds, and does all its instructions for one strip
before it takes the next. An element is a word of 32 bits in a register, mostly a binary32.
"""

from dataclasses import dataclass
from enum import IntEnum

from ..config import INSTRUCTION_BYTES, Config

REGISTERS = 32
BEATS = 16
"""Beats of V elements that a register holds: more than an operation takes cycles."""
STREAMS = 4
MOST_INSTRUCTIONS = 256
"""Of a program."""
MOST_SPANS, MOST_ROWS = (1 << 16) - 1, (1 << 16) - 1
CANONICAL_NAN = 0x7FC00000


class Op(IntEnum):
    """What an instruction does. `a` and `b` are operands, the rest is in the fields of
    `Instruction`."""

    ADD = 1
    """a + b."""
    SUB = 2
    """a - b."""
    MUL = 3
    """a * b."""
    SCALE = 4
    """``a * 2**b``, b a two's complement integer."""
    MIN = 5
    """The smaller of a and b; -0 is smaller than +0, and a NaN makes a NaN."""
    MAX = 6
    LESS = 7
    """1 where a < b, else 0; also sets the mask that SELECT looks at. So do the next three."""
    LESS_EQUAL = 8
    EQUAL = 9
    SAME = 10
    """a and b have the same 32 bits."""
    SELECT = 11
    """a where the last comparison held, else b."""
    COPY = 12
    """b."""
    AND = 13
    """Of all bits; so are OR and XOR."""
    OR = 14
    XOR = 15
    EXPONENT = 16
    """The integer e with ``2**e <= |a| < 2**(e + 1)``; -2**31 for 0, 2**31 - 1 for what is not
    finite."""
    MANTISSA = 17
    """a / 2**EXPONENT(a); 0 and what is not finite stay."""
    FROM_INT = 18
    """``a + b / 2**32`` as a binary32: a signed, b unsigned."""
    TO_INT = 19
    """a as an integer of 24 bits: the largest or smallest one beyond them, 0 for a NaN."""
    FROM_HALF = 20
    """The binary16 in the low half of a."""
    TO_HALF = 21
    """a as a binary16 in the low half."""
    TO_BYTE = 22
    """a as an integer of 8 bits, as TO_INT."""
    LOAD = 32
    """The register takes spans of a stream, whose elements become binary32 if they are FP16 or
    INT8; then the stream's cursor moves on."""
    STORE = 33
    """Register `a` goes to a stream, as FP16 or INT8 if its elements are; then the cursor moves."""
    SEEK = 34
    """Set a stream's cursor, which is at 0 when a strip begins."""
    LOOP = 35
    """What follows up to END is done so many times. A loop holds no loop."""
    END = 36
    COLUMNS = 40
    """Rows of a line, at whose end a stream makes its second step. From here on instructions say
    how the program goes through its rows; they act once, before it begins."""
    LINES = 41
    """Lines of an image, at whose end a stream makes its third step."""
    PITCH = 42
    """Of a stream: words from one window of rows to the next."""
    SIZE = 43
    """Of a stream's elements: bytes, 1, 2 or 4; and whether one span serves all spans of a row."""
    STEP = 44
    """How many rows a stream goes on to the next row, line or image (`axis`)."""


COMPARISONS = (Op.LESS, Op.LESS_EQUAL, Op.EQUAL, Op.SAME)
MOVES_BIT = 5
"""Of an operation's number: it computes nothing."""
SETUP = (Op.COLUMNS, Op.LINES, Op.PITCH, Op.SIZE, Op.STEP)


@dataclass(frozen=True)
class Instruction:
    """One instruction; encoded, 64 bits, least significant first, in the fields' order."""

    op: Op
    target: int = 0
    """Register that takes the result."""
    a: int = 0
    """Register of the first operand."""
    b: int = 0
    """Register of the second operand, if it is no constant."""
    constant: bool = False
    """`b` is `value`."""
    stream: int = 0
    exchange: int = 0
    """0, or 1 + log2 of d: element i of a span meets element i ^ d of `b`. Of a STEP: the axis."""
    value: int = 0
    """32 bits: a constant; rows and, 16 bits above, spans of a cursor; a count, pitch, size or step
    of rows. A size has 1 in bit 16 if one span serves all."""
    from_stream: bool = False
    """Operand a is a strip of the stream, its elements as they are: 32 bits, a binary16 below
    zeros, or an integer of 8 bits with its sign. The cursor stays."""
    to_stream: bool = False
    """The result goes to the stream too, as many of its low bits as an element has, likewise. Not
    with `from_stream`: a strip may meet its own words, and then the order would matter."""

    @property
    def loads(self) -> bool:
        """It reads its stream."""
        return self.op == Op.LOAD or self.from_stream

    @property
    def stores(self) -> bool:
        """It writes to its stream."""
        return self.op == Op.STORE or self.to_stream

    def encode(self) -> bytes:
        """Raises `ValueError` if a field's value does not fit."""
        word = at = 0
        for name, width in FIELDS.items():
            value = int(getattr(self, name))
            if not 0 <= value < 1 << width:
                raise ValueError(f"{self.op.name}: {name} {value} is not of {width} bits")
            word, at = word | value << at, at + width
        return word.to_bytes(INSTRUCTION_BYTES, "little")


FIELDS = {
    "op": 6,
    "from_stream": 1,
    "to_stream": 1,
    "target": 5,
    "a": 5,
    "b": 5,
    "constant": 1,
    "stream": 2,
    "exchange": 6,
    "value": 32,
}
"""Of an encoded instruction: widths in bits, the lowest first."""
SERVES_ALL = 1 << 16
AXES = 3


class UnknownInstruction(ValueError):
    """Eight bytes that are no instruction of the device."""


def decode(config: Config, content: bytes) -> Instruction:
    """The instruction that eight bytes hold. Raises `UnknownInstruction` if there is no such
    operation, size, axis or exchange, and if what computes nothing has a stream's operand, or what
    computes has two."""
    word, at, values = int.from_bytes(content, "little"), 0, {}
    for name, width in FIELDS.items():
        values[name], at = word >> at & (1 << width) - 1, at + width
    op = values.pop("op")
    if op not in list(Op):
        raise UnknownInstruction(f"there is no operation {op}")
    made = Instruction(Op(op), **values)
    if made.from_stream + made.to_stream > 1 - (op >> MOVES_BIT):
        raise UnknownInstruction(f"{made.op.name} has too many streams' operands")
    if made.exchange >= (AXES if op == Op.STEP else config.group.bit_length()):
        raise UnknownInstruction(f"{made.op.name}: nothing has the number {made.exchange}")
    if op == Op.SIZE and made.value % SERVES_ALL not in sizes(config):
        raise UnknownInstruction(f"an element cannot have {made.value % SERVES_ALL} bytes")
    return made


def sizes(config: Config) -> tuple[int, ...]:
    """Bytes that an element of a tensor may have: a span is at least a group."""
    return tuple(size for size in (1, 2, 4) if 8 * size >= config.format.bits)


def span_groups(config: Config, size: int) -> int:
    """Groups of a span of elements of `size` bytes."""
    return 8 * size // config.format.bits


def strip_spans(config: Config) -> int:
    """Spans that a register holds."""
    return BEATS * config.vector_lanes // config.group


def program_words(config: Config, instructions: int) -> int:
    """Words of tensor memory that a program takes."""
    return -(-instructions * INSTRUCTION_BYTES // config.stream_bytes)
