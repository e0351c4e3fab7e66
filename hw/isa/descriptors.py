"""Descriptors: commands that engines work on, beside the array and each in its turn (`engines`)."""

from dataclasses import dataclass

from .codes import Flag, Opcode
from .header import CommandHeader, behind_waits, bits, waiting

COPY_BYTES = 24
"""Width in bits of the number of bytes of a COPY's row; less than so many bytes of external memory
are what a WRITE brings or a READ wants."""
FILL_SETTINGS = 4
"""The target of a FILL that sets bias and scale of columns 0 to ``count - 1`` in entry `address`.
What it brings is for each column its scale, exponent and bias, as `ColumnSettings` has them."""
SETTING_BYTES = 16
"""Of such a column."""
FILL_BIASES = 5
"""The target of a FILL that brings biases alone, on a device for training: the first lane's
elements of the words, binary32, become the columns' biases in the sum's unit, to nearest even, with
a scale of 1. What is not finite or does not fit becomes 0, and raises `Flag.FAULT`."""
BIAS_BYTES = 4
GUARDS = (Flag.NONFINITE_ACTIVATION, Flag.NONFINITE_WEIGHT, Flag.OVERFLOW)
"""Flags of numbers that are not finite."""


@dataclass(frozen=True)
class Fill(CommandHeader):
    """Fill `count` words of a buffer, from `address` on, with `words` words of tensor memory."""

    opcode = Opcode.FILL
    target: int = bits(16)
    """A `Target`, but not the activations; or `FILL_SETTINGS`, `FILL_BIASES`."""
    address: int = bits(16)
    count: int = bits(16)
    source: int = bits(32)
    words: int = bits(32)
    """As many as a LOAD's payload would have beats."""
    indices: int = bits(32, default=0)
    """Of values: the first of `index_words` words with the same slots' indices, which are dealt out
    beside them; none, if these are 0."""
    index_words: int = bits(32, default=0)
    waits: int = waiting()


@dataclass(frozen=True, kw_only=True)
class Image(CommandHeader):
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
    width: int = bits(12)
    height: int = bits(12)
    out_width: int = bits(12)
    out_height: int = bits(12)
    first_x: int = bits(9, signed=True)
    first_y: int = bits(9, signed=True)
    stride_x: int = bits(3)
    stride_y: int = bits(3)
    kernel_width: int = bits(4)
    kernel_height: int = bits(4)
    dilation_x: int = bits(4)
    dilation_y: int = bits(4)
    groups: int = bits(14)
    pitch: int = bits(16)
    column_words: int = bits(16)
    """The step from an output pixel's first tap to that of the next one in its line."""
    column_lanes: int = bits(4)
    line_words: int = bits(16)
    """From the last one of a line to the first one of the next."""
    line_lanes: int = bits(4)
    image_words: int = bits(16)
    """From the last one of an image to the first one of the next."""
    image_lanes: int = bits(4)
    tap_words: int = bits(16)
    """From a tap to the next one in its line."""
    tap_lanes: int = bits(4)
    tap_line_words: int = bits(16)
    """From the last tap of a line to the first one of the next."""
    tap_line_lanes: int = bits(4)
    abreast: int = bits(3, default=0)


@dataclass(frozen=True, kw_only=True)
class Rows(CommandHeader):
    """Fill words `address` to ``address + groups - 1`` of the activations' buffer, for R output
    pixels that follow each other (`Image`): their groups in order, from group `group` of tap
    (`tap_y`, `tap_x`) on. Rows from `rows` on are zeros.

    If `transposed`, row r holds element ``r % M`` of the r // M-th of these groups, of so many
    pixels that follow each other as `groups` words have elements: M each, but for the last
    `missing`, which are zeros.

    If `grouped`, row r holds the r-th of these groups, of as many pixels as `groups` words: one
    after another, but for the last `missing`, which are zeros; rows from `rows` on are zeros.
    `address` and `groups` are multiples of the number of lanes then. Only of a device with
    `training`, both.
    """

    opcode = Opcode.ROWS
    source: int = bits(16)
    """The first of the `words` that it may read."""
    words: int = bits(16)
    address: int = bits(16)
    groups: int = bits(16)
    rows: int = bits(8)
    column: int = bits(12, default=0)
    """Of the first output pixel, as `line`, and `x` and `y` of its first tap."""
    line: int = bits(12, default=0)
    x: int = bits(13, signed=True, default=0)
    y: int = bits(13, signed=True, default=0)
    start_words: int = bits(16, default=0)
    """The step from word `source`, lane 0, to group 0 of the first pixel's first tap: as `Image`
    has steps."""
    start_lanes: int = bits(4, default=0)
    tap_x: int = bits(4, default=0)
    tap_y: int = bits(4, default=0)
    group: int = bits(14, default=0)
    offset_words: int = bits(16, default=0)
    """The step from a pixel's first tap to tap (`tap_y`, `tap_x`)."""
    offset_lanes: int = bits(4, default=0)
    transposed: int = bits(1, default=0)
    missing: int = bits(4, default=0)
    """Less than M, or, if the rows are grouped, than there are lanes; 0 if they are neither."""
    grouped: int = bits(1, default=0)
    waits: int = waiting()


@dataclass(frozen=True, kw_only=True)
class Vector(CommandHeader):
    """Run a program of the vector unit (`vector`) over `rows` rows of `spans` spans.

    Its streams are words of tensor memory: neither does it read others, but for its instructions,
    nor write any.
    """

    opcode = Opcode.VECTOR
    program: int = bits(16)
    """The first word of its `instructions` instructions."""
    instructions: int = bits(16)
    spans: int = bits(16)
    rows: int = bits(16)
    base_0: int = bits(16, default=0)
    words_0: int = bits(16, default=0)
    base_1: int = bits(16, default=0)
    words_1: int = bits(16, default=0)
    base_2: int = bits(16, default=0)
    words_2: int = bits(16, default=0)
    base_3: int = bits(16, default=0)
    words_3: int = bits(16, default=0)
    waits: int = waiting()
    guarded: int = behind_waits()
    """It does nothing if a flag of `GUARDS` is set when it begins: what it would change stays, so
    that a training step in which something overflowed counts for nothing. Only a device that
    prunes (`Config.prunes`) looks at it."""

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
class Copy(CommandHeader):
    """Copy `rows` rows of `row_bytes` bytes each from external memory to tensor memory, or back.

    In external memory row 0 begins at byte `external`, and each other one `stride` bytes after the
    one before; but after each `line` rows a new line begins, `line_stride` bytes after the last
    line. Rows may lie across each other there, as windows of an image do. In tensor memory they lie
    in windows of one row for each lane (`Image`): word `tensor` is group 0 of rows 0 to lanes - 1,
    the next window begins `pitch` words later. Zeros fill a row's last group. A row that is not
    whole inside both memories is not copied, and raises `Flag.EXTERNAL`; row 0 is inside.
    """

    opcode = Opcode.COPY
    outward: int = bits(1, default=0)
    """From tensor memory to external memory."""
    whole: int = bits(1, default=0)
    """Rows are not dealt to the lanes: each has whole words, `pitch` from one to the next."""
    line: int = bits(14, default=0)
    """Rows in a line; 0: all are in one."""
    external: int = bits(40)
    """Byte address of row 0."""
    row_bytes: int = bits(COPY_BYTES)
    stride: int = bits(32, default=0)
    line_stride: int = bits(32, default=0)
    rows: int = bits(16, default=1)
    tensor: int = bits(16)
    pitch: int = bits(16, default=0)
    """At least the groups of a row (the words, if `whole`), if there is a second window."""
    waits: int = waiting()


@dataclass(frozen=True, kw_only=True)
class Dense(CommandHeader):
    """Fill slots `address` to ``address + count - 1`` of the weights' buffers, values and indices,
    with rows of a tensor, as dense weights: slot s is row s, column c its element c.

    The rows lie in windows of one for each lane (`Image`): word `source` holds the first group of
    rows 0 to lanes - 1, the next window begins `pitch` words later. C / M groups of a row are the
    weights of all columns; those from `groups` on are zeros. Slots come in whole groups of M, whose
    places are their indices: those behind the last row are zeros.
    """

    opcode = Opcode.DENSE
    address: int = bits(16)
    """A multiple of M."""
    count: int = bits(16)
    source: int = bits(16)
    """The first of the `words` that it may read."""
    words: int = bits(16)
    pitch: int = bits(16)
    groups: int = bits(16)
    waits: int = waiting()


@dataclass(frozen=True, kw_only=True)
class Prune(CommandHeader):
    """Keep `kept` of every M weights of a tensor, as compact weights that a FILL brings: of every M
    rows in each column (forward), and, if it is `across`, of every M columns in each row
    (backward, as weights of the transposed tensor).

    The tensor has `inputs` groups of M rows and `outputs` groups of M columns, binary32. It lies in
    windows (`Image`): word `source` holds the first group of rows 0 to lanes - 1, the next window
    begins `pitch` words later. The largest magnitudes are kept, of equals the lower index, always
    as many, in order of their indices, and rounded to elements to nearest even. One that is not
    finite then is found to be so by the FILL that brings it.

    What is written lies in the `room` words from word `address` on. Forward weights of column block
    b begin ``b * forward_pitch`` words from there, their indices `forward_indices` words later: C
    values, and C indices, for each slot, in whole groups. Columns of a block that the tensor has
    not are not written. Backward weights begin at word ``address + backward``. Words outside are
    not written, and nothing is after the words of the tensor have ended: both raise `Flag.FAULT`.

    If it is `held` the tensor has those weights alone that are kept already: of groups `block * R`
    to ``block * R + R - 1`` the first ones in R rows that follow each other, then the second ones
    in R more, and so on to the `kept`-th, then those of the next block; their places are the
    indices that lie where the forward ones are written. They keep these forward, and backward come
    before all others, whose place is then filled with zeros. Indices that would lie outside the
    region are those of its first word, and raise `Flag.FAULT`.

    Only of a device that prunes (`Config.prunes`); it is the vector unit's turn (`Engine.VECTOR`).
    """

    opcode = Opcode.PRUNE
    source: int = bits(16)
    """The first of the `words` that it may read."""
    words: int = bits(16)
    pitch: int = bits(16)
    inputs: int = bits(12)
    outputs: int = bits(12)
    kept: int = bits(5)
    """N, from 1 to M."""
    across: int = bits(1, default=0)
    address: int = bits(16)
    room: int = bits(16)
    forward_indices: int = bits(16)
    forward_pitch: int = bits(16)
    backward: int = bits(16, default=0)
    backward_indices: int = bits(16, default=0)
    backward_pitch: int = bits(16, default=0)
    waits: int = waiting()
    held: int = behind_waits()
