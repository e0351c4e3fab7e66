"""The command set of the host stream: what the sequencer executes and the driver sends.

An AXI4-Stream packet is one command or several. A command is a 32-byte header, then, for `Load`
and `Write`, a payload. The header's first byte is the opcode, the second the host's own tag, which
comes back. The command's fields follow, least significant bit first, each as wide as its class
says; after them come zeros. The last two bytes are CRC-16/CCITT-FALSE of the thirty before them.

Every packet is answered, in order, by one response packet that begins with a header of the same
size: for its last command, or for the first that is refused; those behind that are not looked at.
A command that has a payload, or rows or words in its answer, is the last of its packet.
"""

from dataclasses import dataclass
from typing import Self

from ..config import BIAS_BITS, Config
from .codes import Opcode, Refused, Status
from .descriptors import Copy, Dense, Fill, Image, Prune, Rows, Vector
from .header import CommandHeader, Header, behind_waits, bits, check, waiting

ALL_COLUMNS = 0xFFFF
"""A `ColumnSettings`'s column that means every column."""


@dataclass(frozen=True)
class Load(CommandHeader):
    """Fill `count` words of a buffer, from `address` on, with the payload."""

    opcode = Opcode.LOAD
    target: int = bits(16)
    """A `Target`."""
    address: int = bits(16)
    count: int = bits(16)


@dataclass(frozen=True)
class ColumnSettings(CommandHeader):
    """Set bias, scale and exponent of one column, or of all (`ALL_COLUMNS`)."""

    opcode = Opcode.SETTINGS
    column: int = bits(16)
    entry: int = bits(16)
    """Page times T, and the context in it."""
    scale: int = bits(16)
    exponent: int = bits(16, signed=True)
    bias: int = bits(BIAS_BITS, signed=True)


@dataclass(frozen=True, kw_only=True)
class Run(CommandHeader):
    """Compute `row_blocks` tiles, one below the other, of one column block."""

    opcode = Opcode.RUN
    finish: int = bits(1)
    """The sums are complete, send them out. Without it they stay, for the next RUN."""
    relu: int = bits(1)
    output: int = bits(2)
    """An `OutputFormat`; RAW only if the rows are stored, and without `relu`."""
    store: int = bits(1, default=0)
    """The rows go to tensor memory, not to the host."""
    pad: int = bits(1, default=0)
    """Of a RUN that stores: zeros fill the last group that a row reaches into."""
    settings_page: int = bits(7)
    """Which page of column settings the tiles use."""
    addend: int = bits(1, default=0)
    """Of a RUN that stores: a tensor is added to the sums (`Side`)."""
    raw_addend: int = bits(1, default=0)
    """It is RAW; else its elements are of the format that the array multiplies."""
    mask: int = bits(1, default=0)
    """Of a RUN that stores, not as RAW: outputs are zero where a tensor of their format is."""
    activation_base: int = bits(16)
    activation_stride: int = bits(16)
    row_blocks: int = bits(16)
    slot_base: int = bits(16)
    schedule_base: int = bits(16)
    schedule_count: int = bits(16)
    destination: int = bits(16, default=0)
    """Of a RUN that stores: the first of the words that it may write, and how many these are. Its
    rows lie there as `Rows` has them, from row 0 on; what has no place in these words is dropped.
    """
    words: int = bits(16, default=0)
    pitch: int = bits(16, default=0)
    """Words from one window of rows to the next."""
    groups: int = bits(16, default=0)
    """Groups of such a row: what goes beyond is dropped. `pitch` is at least as much."""
    offset: int = bits(16, default=0)
    """Where in a row column 0 lies, in bytes: a multiple of `Config.store_bytes`."""
    waits: int = waiting()
    """See `engines`; of a device with tensor memory."""
    held: int = behind_waits(0)
    """Each element picks its activations by the index that it holds, not by those of the slots: so
    each row of the array has places of its own. Only of a device with `training`, as `takes`; one
    without tensor memory looks at neither."""
    takes: int = behind_waits(1)
    """Of its first R slots, slot r brings the indices that the elements of row r hold once the RUN
    has ended; they lie where `Side.held` says. Slots that are not there bring none. Unless it is
    `held` too, its weights count as zeros."""


@dataclass(frozen=True)
class Sync(CommandHeader):
    """Answer when everything before has finished."""

    opcode = Opcode.SYNC


@dataclass(frozen=True)
class Write(CommandHeader):
    """Fill `count` words of tensor memory, from `address` on, with the payload, a beat each."""

    opcode = Opcode.WRITE
    address: int = bits(32)
    count: int = bits(32)
    external: int = bits(1, default=0)
    """The words are external memory's, whose first bytes are word 0."""


@dataclass(frozen=True)
class Read(CommandHeader):
    """Answer with `count` words of tensor memory, from `address` on, a beat each."""

    opcode = Opcode.READ
    address: int = bits(32)
    count: int = bits(32)
    external: int = bits(1, default=0)
    """As of a `Write`."""


@dataclass(frozen=True, kw_only=True)
class Side(CommandHeader):
    """Say where the side operands of the RUNs that follow lie, and the planes of RAW outputs.

    A side operand has a row for each row that the RUN stores. Its rows lie as a `Run`'s do: in
    windows, from a word on that lies so much further than the RUN's `destination` (addresses wrap
    at the memory's end). The RUN's column 0 is element n of its row, where n elements of the output
    take `offset` bytes; n is a multiple of `Config.store_bytes`. What a row has not is zero, and
    so is a row that is not whole in its words.
    """

    opcode = Opcode.SIDE
    addend_offset: int = bits(16, default=0)
    addend_words: int = bits(16, default=0)
    addend_pitch: int = bits(16, default=0)
    addend_groups: int = bits(16, default=0)
    addend_plane: int = bits(16, default=0)
    """Words from one limb's plane of a RAW addend to the next one's."""
    mask_offset: int = bits(16, default=0)
    """The mask has the RUN's own `words`, `pitch` and `groups`."""
    output_plane: int = bits(16, default=0)
    """Words from one limb's plane of RAW outputs to the next one's: at least the RUN's `words`."""
    held: int = bits(16, default=0)
    """Of a RUN that `takes` indices: those of row r are in slot ``held + r * held_step`` of the
    page of weights that the RUN reads, modulo its size."""
    held_step: int = bits(5, default=0)


Command = (
    Load
    | ColumnSettings
    | Run
    | Sync
    | Write
    | Read
    | Fill
    | Rows
    | Image
    | Side
    | Vector
    | Copy
    | Dense
    | Prune
)
COMMANDS: dict[Opcode, type[Command]] = {
    kind.opcode: kind
    for kind in (
        *(Load, ColumnSettings, Run, Sync, Write, Read),
        *(Fill, Rows, Image, Side, Vector, Copy, Dense, Prune),
    )
}
WITH_PAYLOAD = (Opcode.LOAD, Opcode.WRITE)
"""Commands that a payload follows."""


def opcodes(config: Config) -> tuple[Opcode, ...]:
    """The commands that a device of `config` knows."""
    more = {
        Opcode.VECTOR: config.vector_lanes,
        Opcode.COPY: config.external_bits,
        Opcode.DENSE: config.training,
        Opcode.PRUNE: config.prunes,
    }
    return tuple(
        code for code in Opcode if code < Opcode.WRITE or more.get(code, config.tensor_words)
    )


@dataclass(frozen=True)
class Response(Header):
    """A response's header; `rows` rows of C outputs follow a RUN's, so many words a READ's."""

    opcode: int
    tag: int
    status: int = bits(16)
    rows: int = bits(32)
    flags: int = bits(16)

    def encode(self) -> bytes:
        return self._encoded(self.opcode, self.tag)

    @classmethod
    def decode(cls, header: bytes) -> Self:
        """Raises `Refused` (BAD_CHECK) if its check is wrong, or it is too short for one."""
        check(header)
        return cls._decoded(header, opcode=header[0], tag=header[1])


def decode(header: bytes) -> Command:
    """The command of a header. Raises `Refused` if it is none; values are not judged."""
    check(header)
    if header[0] not in COMMANDS:
        raise Refused(Status.BAD_OPCODE)
    return COMMANDS[Opcode(header[0])]._decoded(header)
