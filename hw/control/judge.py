"""Whether a command can be executed: what is wrong with a header, if anything is."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import HEADER_BYTES, INSTRUCTION_BYTES, Config
from ..copy.rows import ceiling
from ..isa.codes import Opcode, Status, Target
from ..isa.commands import ALL_COLUMNS, ColumnSettings, Load, Read, Run, Side, Write
from ..isa.descriptors import (
    COPY_BYTES,
    FILL_BIASES,
    FILL_SETTINGS,
    Copy,
    Dense,
    Fill,
    Image,
    Prune,
    Rows,
    Vector,
)
from ..isa.header import BEHIND_WAITS
from ..isa.maps import address_bits
from ..isa.vector import MOST_INSTRUCTIONS, STREAMS
from ..layouts.stream import FIELDS, HEADER
from ..layouts.tensor import LIMITS
from ..lib.pipeline import register
from . import side


def view(kind, header):
    """The bits of a `header` as the fields of a command of `kind`."""
    layout = HEADER(kind)
    return data.View(layout, header[: layout.size])


def page_bits(config: Config) -> int:
    """Width of the number of a page of column settings."""
    return (config.settings_pages - 1).bit_length()


class Judge(wiring.Component):
    """Name the gravest thing that is wrong with a header.

    Latency: 1 cycle (the opcode is looked at in the second one). Throughput: one a cycle.

    Members
    -------
    header : In(256)
    ended : In(1), the packet ended with the header
    bad_check : In(1), its CRC is wrong
    problem : Out(Status)

    With tensor memory also

    limits : In(layouts.LIMITS), of the last IMAGE
    side : In(layouts.FIELDS(Side)), the last SIDE, there since the cycle before the header
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "header": In(8 * HEADER_BYTES),
                "ended": In(1),
                "bad_check": In(1),
                "problem": Out(Status),
            }
            | ({"limits": In(LIMITS), "side": In(FIELDS(Side))} if config.tensor_words else {})
        )

    def elaborate(self, platform):
        m = Module()
        load, settings, run = (view(kind, self.header) for kind in (Load, ColumnSettings, Run))
        found = register(
            m,
            "found",
            {
                "check": self.bad_check,
                "target": load.target > max(Target),
                "load": self._load_outside(m, load),  # a FILL begins as a LOAD does
                "settings": self._settings_outside(settings),
                "run": self._run_outside(run),
                "field": self._run_wrong(run),
                "store": self._store_wrong(run),
                **(self._beside_tensors(m, run) if self.config.tensor_words else {}),
                **(self._vector_wrong() if self.config.vector_lanes else {}),
                **(self._copy_wrong() if self.config.external_bits else {}),
                **({"dense": self._dense_wrong()} if self.config.training else {}),
                **(self._prune_wrong() if self.config.prunes else {}),
            },
        )
        problem, ended = self.problem, self.ended
        with m.If(found["check"]):
            m.d.comb += problem.eq(Status.BAD_CHECK)
        # A later assignment is the graver problem.
        with m.Else(), m.Switch(self.header[:8]):
            with m.Case(Opcode.LOAD):
                with m.If(found["target"]):
                    m.d.comb += problem.eq(Status.BAD_TARGET)
                with m.If(found["load"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
                with m.If(ended):
                    m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Case(Opcode.SETTINGS):
                with m.If(found["settings"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
            with m.Case(Opcode.RUN):
                with m.If(found["run"] | found.get("side_address", 0)):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
                with m.If(found["field"] | found["store"] | found.get("side_field", 0)):
                    m.d.comb += problem.eq(Status.BAD_FIELD)
                with m.If(run.finish & ~run.store & ~ended):
                    m.d.comb += problem.eq(Status.BAD_LENGTH)
            with m.Case(Opcode.SYNC):
                pass
            for kind in (Write, Read, Fill, Rows) if self.config.tensor_words else ():
                with m.Case(kind.opcode):
                    with m.If(found[kind.__name__]):
                        m.d.comb += problem.eq(Status.BAD_ADDRESS)
                    if kind is Fill:
                        with m.If(found["load"]):
                            m.d.comb += problem.eq(Status.BAD_ADDRESS)
                        with m.If(found["indices"]):
                            m.d.comb += problem.eq(Status.BAD_FIELD)
                        with m.If(found["settings_fill"]):
                            m.d.comb += problem.eq(Status.BAD_ADDRESS)
                        with m.If(found["unfilled"]):
                            m.d.comb += problem.eq(Status.BAD_TARGET)
                    if kind is Rows:
                        with m.If(found["walk"]):
                            m.d.comb += problem.eq(Status.BAD_FIELD)
                    if kind in (Read, Write):
                        with m.If(
                            view(kind, self.header).external & (not self.config.external_bits)
                        ):
                            m.d.comb += problem.eq(Status.BAD_FIELD)
                        with m.If(ended if kind is Write else ~ended):
                            m.d.comb += problem.eq(Status.BAD_LENGTH)
            if self.config.tensor_words:
                with m.Case(Opcode.IMAGE), m.If(found["image"]):
                    m.d.comb += problem.eq(Status.BAD_FIELD)
                with m.Case(Opcode.SIDE), m.If(found["layout"]):
                    m.d.comb += problem.eq(Status.BAD_FIELD)
            # What has words that may be outside, and fields that may have no meaning.
            for opcode, outside, wrong in (
                (Opcode.VECTOR, "vector", "program"),
                (Opcode.PRUNE, "prune", "kept"),
                (Opcode.COPY, "copy", "lines"),
            ):
                if outside in found:
                    with m.Case(opcode):
                        with m.If(found[outside]):
                            m.d.comb += problem.eq(Status.BAD_ADDRESS)
                        with m.If(found[wrong]):
                            m.d.comb += problem.eq(Status.BAD_FIELD)
            if self.config.training:
                with m.Case(Opcode.DENSE), m.If(found["dense"]):
                    m.d.comb += problem.eq(Status.BAD_ADDRESS)
            with m.Default():
                m.d.comb += problem.eq(Status.BAD_OPCODE)
        return m

    def _load_outside(self, m: Module, load):
        """A LOAD reaches beyond its page; never for a target that there is not."""
        outside = Signal()
        with m.Switch(load.target):
            for target, bits in address_bits(self.config).items():
                with m.Case(target):
                    depth = 1 << (bits - 1)
                    m.d.comb += outside.eq(
                        (load.address >= 2 * depth)
                        | (load.count == 0)
                        | (load.address[: bits - 1] + load.count > depth)
                    )
        return outside

    def _settings_outside(self, settings):
        """There is no such entry, or column."""
        column = settings.column
        return ((column >= self.config.columns) & (column != ALL_COLUMNS)) | (
            settings.entry >= self.config.settings_entries
        )

    def _words_outside(self) -> dict[str, Value]:
        """By the command's name: it asks for no word, or for some that tensor memory has not; a
        ROWS also for no row or too many, or for groups that leave their page. And whether a FILL
        is of nothing that can be filled, or brings indices beside what is no value."""
        config, wrong = self.config, dict[str, Value]()
        for kind in (Write, Read, Fill):
            words = view(kind, self.header)
            first, count = (
                (words.source, words.words) if kind is Fill else (words.address, words.count)
            )
            outside = self._beyond(first, count)
            if kind is not Fill and config.external_bits:
                outside = Mux(words.external, self._beyond_external(first, count), outside)
            wrong[kind.__name__] = outside | (count == 0)
        fill = view(Fill, self.header)
        settings = fill.target == FILL_SETTINGS
        if config.training:
            settings |= fill.target == FILL_BIASES
        wrong["settings_fill"] = settings & (
            (fill.address >= config.settings_entries)
            | (fill.count == 0)
            | (fill.count > config.columns)
        )
        known = (fill.target != Target.ACTIVATIONS) & (fill.target <= max(Target))
        wrong["unfilled"] = ~known & (fill.target != FILL_SETTINGS)
        if config.training:
            wrong["unfilled"] &= fill.target != FILL_BIASES
        some = fill.index_words != 0
        wrong["indices"] = some & (fill.target != Target.VALUES)
        wrong[Fill.__name__] |= some & self._beyond(fill.indices, fill.index_words)
        rows, depth = view(Rows, self.header), config.activation_groups
        inside = rows.address[: depth.bit_length() - 1]
        wrong[Rows.__name__] = (
            self._beyond(rows.source, rows.words)
            | (rows.words == 0)
            | (rows.groups == 0)
            | (rows.rows == 0)
            | (rows.rows > config.rows)
            | (rows.address >= 2 * depth)
            | (inside + rows.groups > depth)
        )
        if config.training:
            lane = config.lanes.bit_length() - 1
            between = rows.address[:lane].any() | rows.groups[:lane].any()
            wrong[Rows.__name__] |= rows.grouped & between
        return wrong

    def _walks_wrong(self) -> dict[str, Value]:
        """Whether an IMAGE has no pixels, taps or groups, a ROWS begins where its IMAGE has none,
        or a step goes over more lanes than there are."""
        image, rows, limits = view(Image, self.header), view(Rows, self.header), self.limits
        steps = "column", "line", "image", "tap", "tap_line"
        return {
            "image": Cat(image[name] == 0 for name in LIMITS.members).any()
            | Cat(image[f"{step}_lanes"] >= self.config.lanes for step in steps).any(),
            "walk": (rows.column >= limits.out_width)
            | (rows.line >= limits.out_height)
            | (rows.tap_x >= limits.kernel_width)
            | (rows.tap_y >= limits.kernel_height)
            | (rows.group >= limits.groups)
            | (rows.start_lanes >= self.config.lanes)
            | (rows.offset_lanes >= self.config.lanes)
            | self._turned_wrong(rows),
        }

    def _turned_wrong(self, rows):
        """Rows are to be transposed or grouped and cannot, or both; or more of their pixels are
        missing than of one group or window, or of rows that are neither."""
        config = self.config
        if not config.training:
            return rows.transposed | rows.grouped | (rows.missing != 0)
        most = Mux(rows.transposed, config.group, Mux(rows.grouped, config.lanes, 1))
        return (rows.missing >= most) | (rows.transposed & rows.grouped)

    def _dense_wrong(self):
        """A DENSE's words are not all in tensor memory, or its slots not whole groups of a page."""
        config, dense = self.config, view(Dense, self.header)
        depth, place = config.weight_slots, config.group.bit_length() - 1
        inside = dense.address[: depth.bit_length() - 1]
        slots = ((dense.count + (config.group - 1)) >> place) << place
        return (
            self._beyond(dense.source, dense.words)
            | (dense.words == 0)
            | (dense.count == 0)
            | dense.address[:place].any()
            | (dense.address >= 2 * depth)
            | (inside + slots > depth)
        )

    def _vector_wrong(self) -> dict:
        """A VECTOR's program or a stream is not all in tensor memory (`vector`); it has no
        instructions or too many, or nothing to go through (`program`)."""
        vector, places = view(Vector, self.header), self.config.stream_bytes // INSTRUCTION_BYTES
        words = (vector.instructions + (places - 1)) >> places.bit_length() - 1
        outside = self._beyond(vector.program, words)
        for number in range(STREAMS):
            words = vector[f"words_{number}"]
            outside |= (words != 0) & self._beyond(vector[f"base_{number}"], words)
        wrong = (
            (vector.instructions == 0)
            | (vector.instructions > MOST_INSTRUCTIONS)
            | (vector.spans == 0)
            | (vector.rows == 0)
        )
        return {"vector": outside, "program": wrong}

    def _prune_wrong(self) -> dict:
        """A PRUNE's words are not all in tensor memory (`prune`); there is nothing to prune, or N
        is not from 1 to M (`kept`)."""
        config, prune = self.config, view(Prune, self.header)
        return {
            "prune": self._beyond(prune.source, prune.words)
            | (prune.words == 0)
            | self._beyond(prune.address, prune.room)
            | (prune.room == 0)
            | (prune.backward >= config.tensor_words),
            "kept": (prune.inputs == 0)
            | (prune.outputs == 0)
            | (prune.kept == 0)
            | (prune.kept > config.group),
        }

    def _beyond(self, first, count):
        """`count` words from `first` on are not all in tensor memory."""
        size = self.config.tensor_words
        return (first >= size) | (first[: (size - 1).bit_length()] + count > size)

    def _beyond_external(self, first, count):
        """`count` words from `first` on are not all in external memory, or are more than a COPY can
        have."""
        shift = self.config.stream_bytes.bit_length() - 1
        words = max(0, self.config.external_bits - shift)
        most = (1 << COPY_BYTES - shift) - 1
        return (((first + count - 1) >> words) != 0) | (count > most)

    def _copy_wrong(self) -> dict:
        """A COPY's first row is not whole in either memory, or there is none; or its windows would
        lie across each other."""
        config, copy = self.config, view(Copy, self.header)
        units = Mux(
            copy.whole,
            ceiling(copy.row_bytes, config.stream_bytes),
            ceiling(copy.row_bytes, config.group_bytes),
        )
        several = Mux(copy.whole, copy.rows > 1, copy.rows > config.lanes)
        last_byte = copy.external + copy.row_bytes - 1
        return {
            "copy": (copy.row_bytes == 0)
            | (copy.rows == 0)
            | (last_byte >> config.external_bits).any()
            | self._beyond(copy.tensor, units),
            "lines": several & (copy.pitch < units),
        }

    def _store_wrong(self, run):
        """A RUN is to store and has nothing to, or there is no memory, or the rows would lie across
        each other or beyond their ends."""
        config = self.config
        if not config.tensor_words:
            return run.store | run.addend | run.raw_addend | run.mask
        group, unit = config.group_bytes.bit_length() - 1, config.store_bytes.bit_length() - 1
        return run.store & (
            ~run.finish
            | (run.pitch < run.groups)
            | (run.offset[group:] >= run.groups)
            | run.offset[:unit].any()
        )

    def _beside_tensors(self, m: Module, run) -> dict:
        """What only a device with tensor memory can find wrong."""
        return self._words_outside() | self._walks_wrong() | self._side_wrong(m, run)

    def _side_wrong(self, m: Module, run) -> dict:
        """What is wrong with a RUN's side operands, and with a SIDE itself."""
        layout = side.layout_wrong(view(Side, self.header))
        return {**side.wrong(self.config, m, run, self.side), "layout": layout}

    def _run_outside(self, run):
        """A RUN begins outside a buffer, or its records leave their page."""
        base, depth = run.schedule_base, self.config.schedule_records
        outside = Const(0)
        if self.config.tensor_words:
            narrow = self._beyond(run.destination, run.words) | (run.words < run.groups)
            outside = run.store & narrow
        return (
            outside
            | (run.activation_base >= 2 * self.config.activation_groups)
            | (run.slot_base >= 2 * self.config.weight_slots)
            | (base >= 2 * depth)
            | (base[: depth.bit_length() - 1] + run.schedule_count > depth)
        )

    def _run_wrong(self, run):
        """A RUN wants a page or a format that there is not, or it has nothing to do."""
        last = max(self.config.outputs)
        unknown = Const(0) if last == 3 else run.output > last  # where its bits can say more
        wrong = (
            (run.settings_page[page_bits(self.config) :] != 0)
            | unknown
            | (run.row_blocks == 0)
            | (run.schedule_count == 0)
            | (~run.finish & (run.row_blocks != 1))
        )
        # A device without tensor memory looks at nothing from `waits` on.
        if self.config.tensor_words and not self.config.training:
            wrong |= self.header[BEHIND_WAITS : BEHIND_WAITS + 2].any()
        return wrong
