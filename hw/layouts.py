"""Layouts and signatures that more than one module of the gateware speaks."""

from amaranth import Module, Shape, ShapeCastable, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import BIAS_BITS, Config
from .formats import Format, OutputFormat
from .isa.codes import Target
from .isa.descriptors import COPY_BYTES, Image, Rows
from .isa.engines import PLACES
from .isa.header import Header
from .isa.maps import chunks
from .isa.vector import MOST_INSTRUCTIONS, STREAMS


def operand(format: Format) -> data.StructLayout:
    """An element as the array multiplies it: ``value << (4 * step)`` units (see `formats`)."""
    return data.StructLayout({"value": signed(format.value_bits), "step": format.step_bits})


def beat(config: Config) -> data.StructLayout:
    """One beat of a host stream; `last` ends a packet."""
    return data.StructLayout({"data": 8 * config.stream_bytes, "last": 1})


def FIELDS(kind: type[Header]) -> data.StructLayout:
    """A command's fields, but for what it waits for."""
    return data.StructLayout(
        {name: Shape(bits, signed) for name, (bits, signed) in kind.layout().items()}
    )


def HEADER(kind: type[Header]) -> data.StructLayout:
    """A command's header but for its check, field by field."""
    return data.StructLayout({"opcode": 8, "tag": 8, **FIELDS(kind).members})


def group_signature(config: Config) -> wiring.Signature:
    """West to east: a group of M activations, taken where `load` is set."""
    return wiring.Signature(
        {
            "group": Out(data.ArrayLayout(operand(config.format), config.group)),
            "load": Out(1),
        }
    )


def weight_signature(config: Config) -> wiring.Signature:
    """North to south: a kept weight, its place in the group, and the end of the dot product.

    A bubble is a weight of zero: it adds nothing.
    """
    return wiring.Signature(
        {
            "weight": Out(operand(config.format)),
            "index": Out(config.index_bits),
            "last": Out(1),
        }
    )


def write_signature(config: Config) -> wiring.Signature:
    """The bus from the sequencer to the buffers: one chunk a cycle, never refused.

    `chunk` is the chunk's number in its word (banks ``chunk * size`` on); `data` holds the
    chunk in its low bits, as raw elements of the stream.
    """
    kinds = chunks(config)
    return wiring.Signature(
        {
            "valid": Out(1),
            "target": Out(Target),
            "address": Out(16),
            "chunk": Out(8),
            "data": Out(max(c.bits for c in kinds.values())),
        }
    )


def settings_signature(config: Config) -> wiring.Signature:
    """The bus that sets bias and scale of one column, in one entry: never refused.

    With `all` the column of that place in every group of S columns is set.
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "column": Out(8),
            "all": Out(1),
            "entry": Out(range(config.settings_entries)),
            "scale": Out(16),
            "exponent": Out(signed(16)),
            "bias": Out(signed(config.accumulator_bits)),
        }
    )


def MODE(config: Config) -> data.StructLayout:
    """What a RUN wants done with its tiles, as in `commands.Run`."""
    fields = {"finish": 1, "relu": 1, "format": 2, "settings_page": range(config.settings_pages)}
    if config.tensor_words:
        fields |= {"addend": 1, "mask": 1}
    return data.StructLayout(fields)


def RUN(config: Config) -> data.StructLayout:
    """A RUN command, checked, on its way to the issuer."""
    return data.StructLayout(
        {
            "mode": MODE(config),
            "activation_base": 16,
            "activation_stride": 16,
            "row_blocks": 16,
            "slot_base": 16,
            "schedule_base": 16,
            "schedule_count": 16,
        }
    )


def WAITS(bits: int) -> data.ArrayLayout:
    """For each engine, whether a descriptor waits for it, and for which count, of so many bits, of
    what it has finished."""
    return data.ArrayLayout(data.StructLayout({"needed": 1, "target": bits}), PLACES)


def COUNTS(bits: int) -> data.ArrayLayout:
    """What each engine has finished."""
    return data.ArrayLayout(bits, PLACES)


STATES = data.ArrayLayout(data.StructLayout({"busy": 1, "waits": PLACES, "full": 1}), PLACES)
"""What each engine does in a cycle: it is busy, or its next descriptor waits for one engine; and
whether the command at hand waits for room in its queue."""


def FILL(config: Config) -> data.StructLayout:
    """A FILL command, checked, on its way to the filler; of `settings` or to its target. Or, for
    training, a DENSE: `pitch` and `groups` are its own."""
    training = {}
    if config.training:
        own = {name: DENSE(config).members[name] for name in ("pitch", "groups")}
        training = {"dense": 1, **own}
    return data.StructLayout(
        {
            "target": Target,
            "address": 16,
            "count": 16,
            "words": WORDS(config),
            "indices": WORDS(config),
            "settings": 1,
            **training,
        }
    )


def DENSE(config: Config) -> data.StructLayout:
    """Rows of a tensor that become dense weights: a DENSE command. There are `groups` of those that
    a row has for all columns."""
    return data.StructLayout(
        {
            "address": range(2 * config.weight_slots),
            "count": range(config.weight_slots + 1),
            "words": WORDS(config),
            "pitch": 16,
            "groups": range(config.columns // config.group + 1),
        }
    )


def TURNED(config: Config) -> data.StructLayout:
    """How a chunk of `lanes` groups of activations is written: if `transposed`, element i of the
    groups goes to row i of the M rows that the chunk's number names, and there into `part`, a part
    of as many elements as there are lanes."""
    return data.StructLayout({"transposed": 1, "part": range(config.group // config.lanes)})


def SKEWED(config: Config) -> data.StructLayout:
    """How a chunk of groups of values is written: if it is `skewed`, its first `turn` groups are
    the last of so many slots that follow each other, and the groups from there on the first."""
    return data.StructLayout({"skewed": 1, "turn": range(config.dense_groups)})


SETTING = data.StructLayout({"scale": 16, "exponent": signed(16), "bias": signed(BIAS_BITS)})
"""A column's settings as they lie in tensor memory: `descriptors.SETTING_BYTES`."""


def DEAL(config: Config) -> data.StructLayout:
    """Words that are dealt out to one buffer: a part of a FILL."""
    return data.StructLayout({"target": Target, "address": 16, "count": 16, "words": WORDS(config)})


def WALK(config: Config) -> data.StructLayout:
    """A ROWS command, checked, on its way to the row mover, or an IMAGE."""
    fields = data.UnionLayout({"rows": FIELDS(Rows), "image": FIELDS(Image)})
    return data.StructLayout({"is_image": 1, "fields": fields})


LIMITS = data.StructLayout(
    {
        name: Image.layout()[name][0]
        for name in ("out_width", "out_height", "kernel_width", "kernel_height", "groups")
    }
)
"""Of an IMAGE, what the places that a ROWS names are within."""


def PIXEL(config: Config) -> data.StructLayout:
    """Where the first tap of an output pixel lies: its place, from a ROWS' source on, and its
    coordinates in the image. Rows that are not `there` are zeros."""
    return data.StructLayout(
        {
            "word": 16,
            "lane": range(config.lanes),
            "x": signed(13),
            "y": signed(13),
            "there": 1,
        }
    )


def WINDOW(config: Config) -> data.StructLayout:
    """The output pixels that the lanes of a window are for, and the ROWS that asks for them: it
    begins with its `first` window."""
    return data.StructLayout(
        {
            "pixels": data.ArrayLayout(PIXEL(config), config.lanes),
            "first": 1,
            "rows": FIELDS(Rows),
        }
    )


def GATHERED(config: Config) -> data.StructLayout:
    """A group for each lane of a window, to be read wherever they lie: those that are not `needed`
    are zeros. They go to a chunk of a word of the activations' buffer; `end` with a ROWS' last."""
    group = data.StructLayout(
        {"needed": 1, "address": range(config.tensor_words), "lane": range(config.lanes)}
    )
    return data.StructLayout(
        {
            "groups": data.ArrayLayout(group, config.lanes),
            "address": 16,
            "chunk": 8,
            "end": 1,
            **({"turned": TURNED(config)} if config.training else {}),
        }
    )


def VECTOR(config: Config) -> data.StructLayout:
    """A VECTOR command, checked, on its way to the vector unit: where its program lies and how many
    instructions it has, the spans of a row and the rows, and the words of each stream."""
    return data.StructLayout(
        {
            "program": range(config.tensor_words),
            "instructions": range(MOST_INSTRUCTIONS + 1),
            "spans": 16,
            "rows": 16,
            "streams": data.ArrayLayout(WORDS(config), STREAMS),
        }
    )


def COPY(config: Config) -> data.StructLayout:
    """A COPY command, checked, on its way to the copy engine; of `host`, a WRITE or READ of
    external memory: one row of whole words, from the host's stream or to it."""
    return data.StructLayout(
        {
            "outward": 1,
            "whole": 1,
            "host": 1,
            "line": 14,
            "external": config.external_bits,
            "row_bytes": COPY_BYTES,
            "stride": 32,
            "line_stride": 32,
            "rows": 16,
            "tensor": range(config.tensor_words),
            "pitch": 16,
        }
    )


def WORDS(config: Config) -> data.StructLayout:
    """`count` words of tensor memory from `address` on, all of them inside it."""
    words = config.tensor_words
    return data.StructLayout({"address": range(words), "count": range(words + 1)})


def READ_PORT(config: Config) -> wiring.Signature:
    """Reads of tensor memory: one where both are `valid` and `ready`, of each lane from an address
    of its own; what it gives is `there` some cycles later (`TensorMemory.LATENCY`), whether it is
    waited for or not."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "address": Out(data.ArrayLayout(range(config.tensor_words), config.lanes)),
            "there": In(1),
            "data": In(8 * config.stream_bytes),
        }
    )


def WRITE_PORT(config: Config) -> wiring.Signature:
    """Writes of tensor memory, a word's lanes at addresses of their own: never refused. There is an
    enable for each `config.store_bytes` bytes."""
    return wiring.Signature(
        {
            "enable": Out(config.stream_bytes // config.store_bytes),
            "address": Out(data.ArrayLayout(range(config.tensor_words), config.lanes)),
            "data": Out(8 * config.stream_bytes),
        }
    )


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


def RESPONSE(config: Config) -> data.StructLayout:
    """What the response writer sends: a header, then `rows` rows of C outputs in `format`; or, of
    `memory`, so many words from `address` on; these come by themselves if they are `external`."""
    fields = {"opcode": 8, "tag": 8, "status": 16, "rows": 32, "format": 2}
    if config.tensor_words:
        fields |= {"memory": 1, "address": range(config.tensor_words)}
    if config.external_bits:
        fields |= {"external": 1}
    return data.StructLayout(fields)


def RECORD(config: Config) -> data.StructLayout:
    """A group to issue: N - 1, or that there is no weight (only for a tile without any), where its
    activations lie, whether it is the `first` or the `last` of its tile, and whether that tile is
    the `end` of its RUN."""
    return data.StructLayout(
        {
            "more_rounds": 4,
            "empty": 1,
            "address": 16,
            "first": 1,
            "last": 1,
            "end": 1,
            "mode": MODE(config),
            "slot_base": 16,
            "schedule_page": 1,
        }
    )


def PAGES(config: Config) -> dict[str, int]:
    """How many pages there are of each kind; a RUN uses one of each."""
    return {"activations": 2, "weights": 2, "schedule": 2, "settings": config.settings_pages}


def PAGE_NUMBERS(config: Config) -> data.StructLayout:
    """Which page of each kind a RUN uses."""
    return data.StructLayout({kind: range(count) for kind, count in PAGES(config).items()})


def RELEASE(config: Config) -> wiring.Signature:
    """A RUN has read its buffers: their pages are free. Its settings page is released apart."""
    return wiring.Signature({"valid": Out(1), "pages": Out(PAGE_NUMBERS(config))})


def RELEASE_SETTINGS(config: Config) -> wiring.Signature:
    """A page of column settings is free of a RUN."""
    return wiring.Signature({"valid": Out(1), "page": Out(range(config.settings_pages))})


def DRAINED(config: Config) -> wiring.Signature:
    """A row of a column's sums leaves the array: what its tile wants done, which context's it is,
    and whether it is the `end` of its RUN."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "mode": Out(MODE(config)),
            "context": Out(range(config.interleave)),
            "end": Out(1),
        }
    )


def FINISH(config: Config) -> wiring.Signature:
    """The end of a finished tile is issued; `end` if the tile is the last of its RUN."""
    return wiring.Signature({"valid": Out(1), "mode": Out(MODE(config)), "end": Out(1)})


def connect_checked(m: Module, source, *sinks):
    """`wiring.connect` of one interface with others whose members must have equal shapes.

    Amaranth lets a signed member drive an unsigned one of the same width, or a structure drive
    another; both are mistakes here. Raises `TypeError`.
    """
    for sink in sinks:
        for (path, member, _), (sink_path, sink_member, _) in zip(
            sorted(source.signature.flatten(source), key=lambda entry: entry[0]),
            sorted(sink.signature.flatten(sink), key=lambda entry: entry[0]),
            strict=True,
        ):
            if path != sink_path or not _same(member.shape, sink_member.shape):
                raise TypeError(
                    f"cannot connect {path}: {member.shape!r} with "
                    f"{sink_path}: {sink_member.shape!r}"
                )
    wiring.connect(m, source, *sinks)


def connect_ports(m: Module, outer, inner):
    """Join those members of `outer`, an interface of a component, that `inner` has, with it: a part
    of the component that has a part of its bus."""
    for (name,), member, value in inner.signature.flatten(inner):
        mine = getattr(outer, name)
        m.d.comb += value.eq(mine) if member.flow is In else mine.eq(value)


def _same(a, b) -> bool:
    if isinstance(a, ShapeCastable) or isinstance(b, ShapeCastable):
        return a == b
    return Shape.cast(a) == Shape.cast(b)
