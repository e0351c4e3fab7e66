"""The command set of the host stream: what the sequencer executes and the driver sends.

An AXI4-Stream packet is one command or several. A command is a 32-byte header, then, for `Load`
and `Write`, a payload. The header's first byte is the opcode, the second the host's own tag, which
comes back. The command's fields follow, least significant bit first, each as wide as its class
says; after them come zeros. The last two bytes are CRC-16/CCITT-FALSE of the thirty before them.

Every packet is answered, in order, by one response packet that begins with a header of the same
size: for its last command, or for the first that is refused; those behind that are not looked at.
A command that has a payload, or rows or words in its answer, is the last of its packet.
"""

from binascii import crc_hqx
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import ClassVar, Self

from ..config import BIAS_BITS, HEADER_BYTES, Config
from .engines import WAITS_BITS

ALL_COLUMNS = 0xFFFF
"""A `ColumnSettings`'s column that means every column."""
CRC_INITIAL = 0xFFFF
HEADER_WORDS = HEADER_BYTES // 2
"""Halfwords of a header; the last one is its CRC."""
COPY_BYTES = 24
"""Width in bits of the number of bytes of a COPY's row; less than so many bytes of external memory
are what a WRITE brings or a READ wants."""
CHECKED_BYTES = HEADER_BYTES - 2
"""Of a header, those that its CRC covers."""


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
    or went beyond its streams' words."""
    EXTERNAL = 5
    """External memory answered with an error, or a COPY's row lay beyond the end of a memory."""


class Refused(ValueError):
    """A header that is no command; `status` is how a device answers it."""

    def __init__(self, status: Status):
        super().__init__(f"no command: {status.name}")
        self.status = status


FILL_SETTINGS = 4
"""The target of a FILL that sets bias and scale of columns 0 to ``count - 1`` in entry `address`.
What it brings is for each column its scale, exponent and bias, as `ColumnSettings` has them."""
SETTING_BYTES = 16
"""Of such a column."""
WAITS_AT = 8 * CHECKED_BYTES - 32
"""First bit of the field `waits`, which lies at the end of a header."""


def _bits(width: int, signed: bool = False, **options):
    return field(metadata={"bits": width, "signed": signed}, **options)


def _waits():
    return field(default=0, metadata={"bits": WAITS_BITS, "signed": False, "at": WAITS_AT})


class Header:
    """What commands and responses share: fields behind the opcode and the tag."""

    @classmethod
    @cache
    def layout(cls) -> dict[str, tuple[int, bool]]:
        """Width in bits of each field, and whether it is signed (two's complement), in order; but
        for `waits`, which does not follow the others."""
        return {
            name: (bits, signed) for name, (bits, signed, at) in cls._places().items() if not at
        }

    @classmethod
    @cache
    def _places(cls) -> dict[str, tuple[int, bool, int]]:
        """Width, signedness, and first bit if the field does not follow the one before it."""
        return {
            f.name: (f.metadata["bits"], f.metadata["signed"], f.metadata.get("at", 0))
            for f in fields(cls)
            if f.metadata
        }

    def _encoded(self, opcode: int, tag: int) -> bytes:
        """The header. Raises `ValueError` if a field's value does not fit."""
        word, at = (opcode & 0xFF) | (tag & 0xFF) << 8, 16
        for name, (width, signed, place) in self._places().items():
            value = int(getattr(self, name))
            low, high = (-1 << width - 1, 1 << width - 1) if signed else (0, 1 << width)
            if not low <= value < high:
                raise ValueError(f"{type(self).__name__}: {name} {value} is not of {width} bits")
            word |= (value & (1 << width) - 1) << (place or at)
            at += width
        return sealed(word.to_bytes(CHECKED_BYTES, "little"))

    @classmethod
    def _decoded(cls, header: bytes, **more: int) -> Self:
        word, at, values = int.from_bytes(header[:CHECKED_BYTES], "little"), 16, {}
        for name, (width, signed, place) in cls._places().items():
            value = word >> (place or at) & (1 << width) - 1
            values[name] = value - (value >> width - 1 << width) if signed else value
            at += width
        return cls(**values, **more)


class _Command(Header):
    opcode: ClassVar[Opcode]

    def encode(self, tag: int = 0) -> bytes:
        """The header of 32 bytes. Raises `ValueError` if a field's value does not fit into it."""
        return self._encoded(self.opcode, tag)


@dataclass(frozen=True)
class Load(_Command):
    """Fill `count` words of a buffer, from `address` on, with the payload."""

    opcode = Opcode.LOAD
    target: int = _bits(16)
    """A `Target`."""
    address: int = _bits(16)
    count: int = _bits(16)


@dataclass(frozen=True)
class ColumnSettings(_Command):
    """Set bias, scale and exponent of one column, or of all (`ALL_COLUMNS`)."""

    opcode = Opcode.SETTINGS
    column: int = _bits(16)
    entry: int = _bits(16)
    """Page times T, and the context in it."""
    scale: int = _bits(16)
    exponent: int = _bits(16, signed=True)
    bias: int = _bits(BIAS_BITS, signed=True)


@dataclass(frozen=True, kw_only=True)
class Run(_Command):
    """Compute `row_blocks` tiles, one below the other, of one column block."""

    opcode = Opcode.RUN
    finish: int = _bits(1)
    """The sums are complete, send them out. Without it they stay, for the next RUN."""
    relu: int = _bits(1)
    output: int = _bits(2)
    """An `OutputFormat`; RAW only if the rows are stored, and without `relu`."""
    store: int = _bits(1, default=0)
    """The rows go to tensor memory, not to the host."""
    pad: int = _bits(1, default=0)
    """Of a RUN that stores: zeros fill the last group that a row reaches into."""
    settings_page: int = _bits(7)
    """Which page of column settings the tiles use."""
    addend: int = _bits(1, default=0)
    """Of a RUN that stores: a tensor is added to the sums (`Side`)."""
    raw_addend: int = _bits(1, default=0)
    """It is RAW; else its elements are of the format that the array multiplies."""
    mask: int = _bits(1, default=0)
    """Of a RUN that stores, not as RAW: outputs are zero where a tensor of their format is."""
    activation_base: int = _bits(16)
    activation_stride: int = _bits(16)
    row_blocks: int = _bits(16)
    slot_base: int = _bits(16)
    schedule_base: int = _bits(16)
    schedule_count: int = _bits(16)
    destination: int = _bits(16, default=0)
    """Of a RUN that stores: the first of the words that it may write, and how many these are. Its
    rows lie there as `Rows` has them, from row 0 on; what has no place in these words is dropped.
    """
    words: int = _bits(16, default=0)
    pitch: int = _bits(16, default=0)
    """Words from one window of rows to the next."""
    groups: int = _bits(16, default=0)
    """Groups of such a row: what goes beyond is dropped. `pitch` is at least as much."""
    offset: int = _bits(16, default=0)
    """Where in a row column 0 lies, in bytes: a multiple of `Config.store_bytes`."""
    waits: int = _waits()
    """See `engines`; of a device with tensor memory."""


@dataclass(frozen=True)
class Sync(_Command):
    """Answer when everything before has finished."""

    opcode = Opcode.SYNC


@dataclass(frozen=True)
class Write(_Command):
    """Fill `count` words of tensor memory, from `address` on, with the payload, a beat each."""

    opcode = Opcode.WRITE
    address: int = _bits(32)
    count: int = _bits(32)
    external: int = _bits(1, default=0)
    """The words are external memory's, whose first bytes are word 0."""


@dataclass(frozen=True)
class Read(_Command):
    """Answer with `count` words of tensor memory, from `address` on, a beat each."""

    opcode = Opcode.READ
    address: int = _bits(32)
    count: int = _bits(32)
    external: int = _bits(1, default=0)
    """As of a `Write`."""


@dataclass(frozen=True)
class Fill(_Command):
    """Fill `count` words of a buffer, from `address` on, with `words` words of tensor memory."""

    opcode = Opcode.FILL
    target: int = _bits(16)
    """A `Target`, but not the activations; or `FILL_SETTINGS`."""
    address: int = _bits(16)
    count: int = _bits(16)
    source: int = _bits(32)
    words: int = _bits(32)
    """As many as a LOAD's payload would have beats."""
    indices: int = _bits(32, default=0)
    """Of values: the first of `index_words` words with the same slots' indices, which are dealt out
    beside them; none, if these are 0."""
    index_words: int = _bits(32, default=0)
    waits: int = _waits()


@dataclass(frozen=True, kw_only=True)
class Image(_Command):
    """How the ROWS after it walk over a tensor whose rows are pixels of images, line by line.

    A tensor's rows lie in windows of one row for each lane, `pitch` words from one window to the
    next; a window's word g holds group g of its rows. So a row's place is a word and a lane, and a
    step from one to another so many `words` (modulo 2^16) and `lanes` (less than there are): where
    the lanes' sum reaches their number, it goes on in the next window.

    ROWS makes rows for output pixels, `out_width` in a line and `out_height` lines in an image. The
    row of one is `kernel_height` x `kernel_width` taps, line by line, of `groups` groups each; a
    tap outside the image's `height` x `width` pixels is zeros. Output pixel (line, column) has its
    first tap at y = first_y + line * stride_y, x = first_x + column * stride_x; a tap's neighbours
    are `dilation_y` and `dilation_x` further.

    ``2**abreast`` images may go abreast: an output pixel is made of each of them, from rows that
    follow each other, before the next pixel is. Steps between pixels are then from the last of
    them to the first, and each ROWS begins with the first.
    """

    opcode = Opcode.IMAGE
    width: int = _bits(12)
    height: int = _bits(12)
    out_width: int = _bits(12)
    out_height: int = _bits(12)
    first_x: int = _bits(9, signed=True)
    first_y: int = _bits(9, signed=True)
    stride_x: int = _bits(3)
    stride_y: int = _bits(3)
    kernel_width: int = _bits(4)
    kernel_height: int = _bits(4)
    dilation_x: int = _bits(4)
    dilation_y: int = _bits(4)
    groups: int = _bits(14)
    pitch: int = _bits(16)
    column_words: int = _bits(16)
    """The step from an output pixel's first tap to that of the next one in its line."""
    column_lanes: int = _bits(4)
    line_words: int = _bits(16)
    """From the last one of a line to the first one of the next."""
    line_lanes: int = _bits(4)
    image_words: int = _bits(16)
    """From the last one of an image to the first one of the next."""
    image_lanes: int = _bits(4)
    tap_words: int = _bits(16)
    """From a tap to the next one in its line."""
    tap_lanes: int = _bits(4)
    tap_line_words: int = _bits(16)
    """From the last tap of a line to the first one of the next."""
    tap_line_lanes: int = _bits(4)
    abreast: int = _bits(3, default=0)


@dataclass(frozen=True, kw_only=True)
class Rows(_Command):
    """Fill words `address` to ``address + groups - 1`` of the activations' buffer, for R output
    pixels that follow each other (`Image`): their groups in order, from group `group` of tap
    (`tap_y`, `tap_x`) on. Rows from `rows` on are zeros.

    If `transposed`, row r holds element ``r % M`` of the r // M-th of these groups, of so many
    pixels that follow each other as `groups` words have elements: M each, but for the last
    `missing`, which are zeros. Only of a device with `training`.
    """

    opcode = Opcode.ROWS
    source: int = _bits(16)
    """The first of the `words` that it may read."""
    words: int = _bits(16)
    address: int = _bits(16)
    groups: int = _bits(16)
    rows: int = _bits(8)
    column: int = _bits(12, default=0)
    """Of the first output pixel, as `line`, and `x` and `y` of its first tap."""
    line: int = _bits(12, default=0)
    x: int = _bits(13, signed=True, default=0)
    y: int = _bits(13, signed=True, default=0)
    start_words: int = _bits(16, default=0)
    """The step from word `source`, lane 0, to group 0 of the first pixel's first tap: as `Image`
    has steps."""
    start_lanes: int = _bits(4, default=0)
    tap_x: int = _bits(4, default=0)
    tap_y: int = _bits(4, default=0)
    group: int = _bits(14, default=0)
    offset_words: int = _bits(16, default=0)
    """The step from a pixel's first tap to tap (`tap_y`, `tap_x`)."""
    offset_lanes: int = _bits(4, default=0)
    transposed: int = _bits(1, default=0)
    missing: int = _bits(4, default=0)
    """Less than M, and 0 if the rows are not transposed."""
    waits: int = _waits()


@dataclass(frozen=True, kw_only=True)
class Side(_Command):
    """Say where the side operands of the RUNs that follow lie, and the planes of RAW outputs.

    A side operand has a row for each row that the RUN stores. Its rows lie as a `Run`'s do: in
    windows, from a word on that lies so much further than the RUN's `destination` (addresses wrap
    at the memory's end). The RUN's column 0 is element n of its row, where n elements of the output
    take `offset` bytes; n is a multiple of `Config.store_bytes`. What a row has not is zero, and
    so is a row that is not whole in its words.
    """

    opcode = Opcode.SIDE
    addend_offset: int = _bits(16, default=0)
    addend_words: int = _bits(16, default=0)
    addend_pitch: int = _bits(16, default=0)
    addend_groups: int = _bits(16, default=0)
    addend_plane: int = _bits(16, default=0)
    """Words from one limb's plane of a RAW addend to the next one's."""
    mask_offset: int = _bits(16, default=0)
    """The mask has the RUN's own `words`, `pitch` and `groups`."""
    output_plane: int = _bits(16, default=0)
    """Words from one limb's plane of RAW outputs to the next one's: at least the RUN's `words`."""


@dataclass(frozen=True, kw_only=True)
class Vector(_Command):
    """Run a program of the vector unit (`vector`) over `rows` rows of `spans` spans.

    Its streams are words of tensor memory: neither does it read others, but for its instructions,
    nor write any.
    """

    opcode = Opcode.VECTOR
    program: int = _bits(16)
    """The first word of its `instructions` instructions."""
    instructions: int = _bits(16)
    spans: int = _bits(16)
    rows: int = _bits(16)
    base_0: int = _bits(16, default=0)
    words_0: int = _bits(16, default=0)
    base_1: int = _bits(16, default=0)
    words_1: int = _bits(16, default=0)
    base_2: int = _bits(16, default=0)
    words_2: int = _bits(16, default=0)
    base_3: int = _bits(16, default=0)
    words_3: int = _bits(16, default=0)
    waits: int = _waits()

    @property
    def streams(self) -> tuple[tuple[int, int], ...]:
        """The first word of each stream, and how many words it has; none, if it is not used."""
        return (
            (self.base_0, self.words_0),
            (self.base_1, self.words_1),
            (self.base_2, self.words_2),
            (self.base_3, self.words_3),
        )


@dataclass(frozen=True, kw_only=True)
class Copy(_Command):
    """Copy `rows` rows of `row_bytes` bytes each from external memory to tensor memory, or back.

    In external memory row 0 begins at byte `external`, and each other one `stride` bytes after the
    one before; but after each `line` rows a new line begins, `line_stride` bytes after the last
    line. Rows may lie across each other there, as windows of an image do. In tensor memory they lie
    in windows of one row for each lane (`Image`): word `tensor` is group 0 of rows 0 to lanes - 1,
    the next window begins `pitch` words later. Zeros fill a row's last group. A row that is not
    whole inside both memories is not copied, and raises `Flag.EXTERNAL`; row 0 is inside.
    """

    opcode = Opcode.COPY
    outward: int = _bits(1, default=0)
    """From tensor memory to external memory."""
    whole: int = _bits(1, default=0)
    """Rows are not dealt to the lanes: each has whole words, `pitch` from one to the next."""
    line: int = _bits(14, default=0)
    """Rows in a line; 0: all are in one."""
    external: int = _bits(40)
    """Byte address of row 0."""
    row_bytes: int = _bits(COPY_BYTES)
    stride: int = _bits(32, default=0)
    line_stride: int = _bits(32, default=0)
    rows: int = _bits(16, default=1)
    tensor: int = _bits(16)
    pitch: int = _bits(16, default=0)
    """At least the groups of a row (the words, if `whole`), if there is a second window."""
    waits: int = _waits()


@dataclass(frozen=True, kw_only=True)
class Dense(_Command):
    """Fill slots `address` to ``address + count - 1`` of the weights' buffers, values and indices,
    with rows of a tensor, as dense weights: slot s is row s, column c its element c.

    The rows lie in windows of one for each lane (`Image`): word `source` holds the first group of
    rows 0 to lanes - 1, the next window begins `pitch` words later. C / M groups of a row are the
    weights of all columns; those from `groups` on are zeros. Slots come in whole groups of M, whose
    places are their indices: those behind the last row are zeros.
    """

    opcode = Opcode.DENSE
    address: int = _bits(16)
    """A multiple of M."""
    count: int = _bits(16)
    source: int = _bits(16)
    """The first of the `words` that it may read."""
    words: int = _bits(16)
    pitch: int = _bits(16)
    groups: int = _bits(16)
    waits: int = _waits()


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
)
COMMANDS: dict[Opcode, type[Command]] = {
    kind.opcode: kind
    for kind in (
        *(Load, ColumnSettings, Run, Sync, Write, Read),
        *(Fill, Rows, Image, Side, Vector, Copy, Dense),
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
    }
    return tuple(
        code for code in Opcode if code < Opcode.WRITE or more.get(code, config.tensor_words)
    )


@dataclass(frozen=True)
class Response(Header):
    """A response's header; `rows` rows of C outputs follow a RUN's, so many words a READ's."""

    opcode: int
    tag: int
    status: int = _bits(16)
    rows: int = _bits(32)
    flags: int = _bits(16)

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


def check(header: bytes) -> None:
    """Raise `Refused` (BAD_CHECK) unless `header` is whole and its CRC right."""
    if len(header) < HEADER_BYTES or sealed(header[:CHECKED_BYTES]) != header[:HEADER_BYTES]:
        raise Refused(Status.BAD_CHECK)


def sealed(body: bytes) -> bytes:
    """A header's first thirty bytes, and their CRC."""
    return body + crc16(body).to_bytes(2, "little")


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE of `data` (polynomial 0x1021, initial 0xFFFF, most significant first)."""
    return crc_hqx(data, CRC_INITIAL)
