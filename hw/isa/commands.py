"""The command set of the host stream: what the sequencer executes and the driver sends.

A command is one AXI4-Stream packet: a 32-byte header of sixteen little-endian halfwords, then, for
`LOAD`, a payload. Every command is answered, in order, by one response packet that begins with a
header of the same size. Halfword 0 is ``opcode | tag << 8``; the tag is the host's own and comes
back. Halfword 15 is CRC-16/CCITT-FALSE of the thirty bytes before it.
"""

from binascii import crc_hqx
from enum import IntEnum

BIAS_BITS = 96
"""Of a CHANNEL's bias: six halfwords, so no sum is wider."""
HEADER_BYTES = 32
HEADER_WORDS = HEADER_BYTES // 2
CRC_POLYNOMIAL = 0x1021
CRC_INITIAL = 0xFFFF
CHANNEL_ALL = 0xFFFF
"""A CHANNEL command's column that means every column."""


class Opcode(IntEnum):
    """What a command asks for."""

    LOAD = 1
    """Fill a buffer with the payload."""
    CHANNEL = 2
    """Set bias and scale of one column, or of all."""
    RUN = 3
    """Compute a column of tiles."""
    SYNC = 4
    """Answer when everything before has finished."""


class Target(IntEnum):
    """Which buffer a LOAD fills."""

    ACTIVATIONS = 0
    """One word: R groups of M elements, one group for each row of the array."""
    SCHEDULE = 1
    """One word: one group record (a byte: count, then skip above it)."""
    INDICES = 2
    """One word: C nibbles, the place of each column's weight in its group."""
    VALUES = 3
    """One word: C elements, one weight for each column."""


class Status(IntEnum):
    """What a response says."""

    OK = 0
    BAD_CHECK = 1
    """The header's CRC is wrong."""
    BAD_OPCODE = 2
    BAD_TARGET = 3
    BAD_ADDRESS = 4
    """An address range that leaves its page, or a channel that does not exist."""
    BAD_LENGTH = 5
    """The packet ended before its payload was complete, or went on after it."""
    BAD_FIELD = 6
    """A field's value has no meaning."""
    BAD_SCHEDULE = 7
    """A group record counts more weights than a group has."""


class OutputFormat(IntEnum):
    """How a finished sum leaves."""

    FP32 = 0
    FP16 = 1
    INT8 = 2

    @property
    def bytes(self) -> int:
        return (4, 2, 1)[self]


class Flag(IntEnum):
    """Bits of the sticky flags (halfword 4 of a response; a register)."""

    NONFINITE_ACTIVATION = 0
    NONFINITE_WEIGHT = 1
    OVERFLOW = 2
    """A floating-point output became infinite."""
    SATURATED = 3
    """An INT8 output was clipped."""


COMMAND_FIELDS = {
    Opcode.LOAD: ("target", "address", "count"),
    Opcode.CHANNEL: (
        "column",
        "channel",
        "scale",
        "exponent",
        "bias_0",
        "bias_1",
        "bias_2",
        "bias_3",
        "bias_4",
        "bias_5",
    ),
    Opcode.RUN: (
        "mode",
        "activation_base",
        "activation_stride",
        "row_blocks",
        "slot_base",
        "schedule_base",
        "schedule_count",
    ),
    Opcode.SYNC: (),
}
"""Names of the halfwords from 1 on, by opcode."""

RESPONSE_FIELDS = ("status", "rows_low", "rows_high", "flags")
"""Names of a response's halfwords from 1 on; `rows` counts the output rows that follow."""

MODE_FINISH = 1 << 0
"""RUN mode: the sums are complete, send them out. Without it they stay, for the next RUN."""
MODE_RELU = 1 << 1
MODE_FORMAT_SHIFT = 2
"""RUN mode: two bits of `OutputFormat` from here."""
MODE_CHANNEL_SHIFT = 4
"""RUN mode: which page of channel settings the tile uses, from here to the mode's end."""


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE of `data` (polynomial 0x1021, initial 0xFFFF, most significant first)."""
    return crc_hqx(data, CRC_INITIAL)
