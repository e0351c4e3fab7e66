"""The numbers that commands and responses are made of: opcodes, buffers, statuses, flags."""

from enum import IntEnum


class Opcode(IntEnum):
    """What a command asks for."""

    LOAD = 1
    """Fill a buffer with the payload."""
    SETTINGS = 2
    """Set bias and scale of one column, or of all."""
    RUN = 3
    """Compute a column of tiles."""
    SYNC = 4
    """Answer when everything before has finished."""
    WRITE = 5
    """Fill words of tensor memory with the payload."""
    READ = 6
    """Answer with words of tensor memory."""
    FILL = 7
    """Fill a buffer with words of tensor memory, as a LOAD does with its payload."""
    ROWS = 8
    """Fill a block of rows of the activations' buffer from a tensor in tensor memory."""
    IMAGE = 9
    """Set how the ROWS that follow walk over their tensor."""
    SIDE = 10
    """Say where the side operands of the RUNs that follow lie."""
    VECTOR = 11
    """Run a program of the vector unit over tensors in tensor memory."""
    COPY = 12
    """Copy rows of bytes from external memory to tensor memory, or back."""
    DENSE = 13
    """Fill the weights' buffers with rows of a tensor, as dense weights."""
    PRUNE = 14
    """Keep N of every M weights of a tensor, along its rows and along its columns."""


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
    """An address range that leaves its page or tensor memory, or a settings entry that does not
    exist."""
    BAD_LENGTH = 5
    """The packet ended before a header or payload was complete, or went on after its last command.
    """
    BAD_FIELD = 6
    """A field's value has no meaning."""
    BAD_SCHEDULE = 7
    """A group record counts more weights than a group has."""


class Flag(IntEnum):
    """Bits of the sticky flags (a field of a response; a register)."""

    NONFINITE_ACTIVATION = 0
    NONFINITE_WEIGHT = 1
    OVERFLOW = 2
    """A floating-point output became infinite; of the vector unit, also no number."""
    SATURATED = 3
    """An INT8 output was clipped."""
    FAULT = 4
    """A FILL's words were not as many as it could use, or had a bad group record; a ROWS came
    to a word that is not one of its own; a program of the vector unit had an unknown instruction,
    or went beyond its streams' words; a PRUNE came beyond its words."""
    EXTERNAL = 5
    """External memory answered with an error, or a COPY's row lay beyond the end of a memory."""


class Refused(ValueError):
    """A header that is no command; `status` is how a device answers it."""

    def __init__(self, status: Status):
        super().__init__(f"no command: {status.name}")
        self.status = status
