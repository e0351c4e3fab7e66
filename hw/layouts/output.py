"""Layouts and signatures of the way out: side operands, rows of results, and where these go."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import OutputFormat


def WINDOWS(config: Config) -> data.StructLayout:
    """Where the windows of a RUN's rows lie in tensor memory, of which a tile's last one comes
    first: its first word is `start`, and `limit` the largest that a window may begin with."""
    windows, most = config.rows // config.lanes, (1 << 16) - 1
    return data.StructLayout(
        {
            "start": range(config.tensor_words + windows * most),
            "limit": range(config.tensor_words),
            "pitch": 16,
        }
    )


def PLACE(config: Config) -> data.StructLayout:
    """Where a RUN's rows go in tensor memory.

    A row has `room` for so many groups, begins with unit `position` of the first, and fills its
    last one with zeros if `pad` says so. The planes of RAW rows lie `plane` words apart.
    """
    units = config.group_bytes // config.store_bytes
    return data.StructLayout(
        {
            "windows": WINDOWS(config),
            "room": range(config.store_groups + 1),
            "position": range(units),
            "pad": 1,
            "plane": 16,
        }
    )


def OPERAND(config: Config) -> data.StructLayout:
    """Where a side operand's rows come from: of each, `room` groups at most; it begins with unit
    `position` of the first, units being of `config.side_bits`."""
    units = 8 * config.group_bytes // config.side_bits
    return data.StructLayout(
        {
            "windows": WINDOWS(config),
            "room": range(config.side_groups + 1),
            "position": range(units),
        }
    )


def SIDE(config: Config) -> data.StructLayout:
    """What a RUN reads beside: so many windows of addends, of a mask, or of both.

    A RAW addend has a plane for each limb, `plane` words apart; `format` is the mask's.
    """
    return data.StructLayout(
        {
            "windows": range((1 << 16) * config.rows // config.lanes),
            "addend": 1,
            "raw": 1,
            "mask": 1,
            "format": 2,
            "plane": 16,
            "addends": OPERAND(config),
            "masks": OPERAND(config),
        }
    )


def SIDE_ROWS(config: Config) -> wiring.Signature:
    """A window of side operands for one column, never refused: an addend for each lane's row, in
    the low bits of 32, or of RAW ones a limb; and whether each lane's mask is zero."""
    return wiring.Signature(
        {
            "addend": Out(1),
            "raw": Out(1),
            "values": Out(data.ArrayLayout(32, config.lanes)),
            "mask": Out(1),
            "zeros": Out(config.lanes),
        }
    )


def SIDE_FREED(config: Config) -> wiring.Signature:
    """How many windows of addends (of RAW ones: limbs) and of masks a column has used up."""
    return wiring.Signature({"addends": Out(range(config.raw_limbs + 1)), "masks": Out(1)})


def OUTPUT(config: Config) -> data.StructLayout:
    """The rows of C results that a RUN sends out: to the host, or, with `store`, to a `place` in
    tensor memory. A row of RAW sums is one row for each limb."""
    most = (1 << 16) * config.tile_rows
    fields = {"format": 2, "rows": range(most)}
    if config.tensor_words:
        most *= OutputFormat.RAW.limbs
        fields |= {"rows": range(most), "store": 1, "place": PLACE(config)}
    return data.StructLayout(fields)


def ROW(config: Config) -> wiring.Signature:
    """A row of results on its way out: its beats one after another in the low bits of `data`, or
    whole. `last` marks its last beat, and `final` the last row of its RUN. A beat leaves if `go`;
    `go_next` tells whether the next one will, if it is there then."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "data": Out(8 * config.stream_bytes * config.row_beats(OutputFormat.FP32)),
            "last": Out(1),
            "final": Out(1),
            "go": In(1),
            "go_next": In(1),
        }
    )
