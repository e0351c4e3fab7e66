"""The way out of the array: sums wait in their columns' queues, a shared epilogue finishes them.

sums of column 0 ─►[queue]─┐                      settings
sums of column 1 ─►[queue]─┼─► one in turn ─► bias, scale, ReLU, rounding ─►[results]─► row of S
…                 ─►[queue]─┘

With tensor memory each column's side operands wait too, beside its sums.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..array.mac import UNITS, longest_conversion
from ..config import Config
from ..formats import OutputFormat
from ..layouts.array import DRAINED, MODE, RELEASE_SETTINGS, settings_signature
from ..layouts.output import SIDE_FREED, SIDE_ROWS
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..lib.pipeline import register, register_unless
from .epilogue import STAGES, Epilogue
from .side import SideOperands

RESULTS = 32
"""Results that may wait for their row to be taken, at least; more than the epilogue has on its
way."""


LUT_RAM_ROWS = 16
"""Rows that any LUT RAM has."""


class LaneGroup(wiring.Component):
    """Finish the sums of S = `config.columns_per_epilogue` columns with one epilogue.

    An entry is one context's bias, scale and exponent in one of the pages, for each column. They
    start as: bias 0, and the scale that leaves a sum as it is.

    Latency: some cycles more than the epilogue's. Throughput: one sum a cycle, so a row of S in S
    cycles; RAW sums take four times as long, and give four rows, a limb each. Stall rule: rows wait
    to be taken, and for their side operands; sums never wait, the issuer has made room in the
    queues before a tile ends.

    Members
    -------
    number : In(8), which group this is, for the settings bus
    sums, rows : S x In, a drained sum and what its tile wants
    settings : the settings bus; column S·`number` + i is the group's i-th, and its i-th alone is
        set in a cycle
    row : S x Out(32), the results of the row that is next, in the order of the columns
    row_there : Out(1), one more row is complete, and shows from the next cycle on
    row_taken : In(1), the row is taken in this cycle; the next one shows in the one after
    release : Out(RELEASE_SETTINGS(config)), the settings have been read for a RUN's last sum
    overflow, saturated : Out(1), pulses

    With tensor memory also

    side : S x In(layouts.SIDE_ROWS)
    freed : Out(layouts.SIDE_FREED), what the last column has used of that
    nonfinite : Out(1), pulses: an addend was not finite
    """

    settle = longest_conversion() + 4 + STAGES

    def __init__(
        self,
        config: Config,
        epilogue: type[wiring.Component] = Epilogue,
        room: int | None = None,
        depth: int | None = None,
    ):
        self.config, self.epilogue = config, epilogue
        columns = config.columns_per_epilogue
        self.room = room or max(LUT_RAM_ROWS, RESULTS // columns)
        """Rows of results that may wait."""
        self.depth = depth or config.output_depth
        """Sums of a column that may wait."""
        self.operands = SideOperands(config) if config.tensor_words else None
        memory = {
            "side": In(SIDE_ROWS(config)).array(columns),
            "freed": Out(SIDE_FREED(config)),
            "nonfinite": Out(1),
        }
        super().__init__(
            {
                "number": In(8),
                "sums": In(config.sum_bits).array(columns),
                "rows": In(DRAINED(config)).array(columns),
                "settings": In(settings_signature(config)),
                "row": Out(32).array(columns),
                "row_there": Out(1),
                "row_taken": In(1),
                "release": Out(RELEASE_SETTINGS(config)),
                "overflow": Out(1),
                "saturated": Out(1),
            }
            | (memory if config.tensor_words else {})
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.epilogue = epilogue = self.epilogue(self.config)
        entry = self._next_sum(m)
        self._finish(m, entry, epilogue)
        m.d.comb += [
            self.overflow.eq(epilogue.o.overflow),
            self.saturated.eq(epilogue.o.saturated),
        ]
        self._gather(m, epilogue.o)
        return m

    def _next_sum(self, m: Module) -> dict:
        """Queue the columns' sums; row by row, one column's sum after the other is handed on."""
        config = self.config
        # What a row's tile wants is the same for all columns: it waits with the first one's sum.
        wanted = data.StructLayout(
            {"mode": MODE(config), "context": range(config.interleave), "end": 1}
        )
        queues = []
        for c, (value, row) in enumerate(zip(self.sums, self.rows, strict=True)):
            waiting = {"sum": config.sum_bits} | ({} if c else {"wanted": wanted})
            queue = Fifo(data.StructLayout(waiting), self.depth)
            m.submodules[f"queue_{c}"] = queue
            m.d.comb += [queue.i.valid.eq(row.valid), queue.i.payload.sum.eq(value)]
            queues.append(queue)
        first = self.rows[0]
        for name in wanted.members:
            m.d.comb += queues[0].i.payload.wanted[name].eq(getattr(first, name))

        turn = Signal(range(len(queues)))
        # Results that fit after one more; its sign decides.
        room = Signal(range(-1, self.room * len(queues)), init=self.room * len(queues) - 1)
        start, whole = Signal(), Const(1)  # `whole`: nothing of the sum is left to start
        ready = Cat(q.o.valid for q in queues).bit_select(turn, 1) & (room >= 0)
        # A cycle late, which only makes a sum wait: the wire is long.
        left = Signal()
        m.d.sync += [
            left.eq(self.row_taken),
            room.eq(room - start + Mux(left, len(queues), 0)),
        ]
        # A sum is taken the cycle after, so that registers lead to the many bits of a queue; by
        # then another queue has its turn, if there is another one.
        taken = {"valid": start, "turn": turn}
        head, kept = Signal(wanted), Signal(wanted, reset_less=True)
        if config.tensor_words:
            first = queues[0].o.payload.wanted.mode
            mode = first.shape()(Mux(turn == 0, first.as_value(), head.mode.as_value()))
            ready &= self._limb(m, turn, mode, start, room, taken) & self._side_there(m, turn, mode)
            whole = taken["whole"]
        with m.If(start & whole):
            m.d.sync += turn.eq(turn + 1)
        if len(queues) > 1:
            taken = register(m, "taken", taken)
        gone = taken["valid"] & taken.get("whole", Const(1))
        m.d.comb += [
            start.eq(ready),
            head.eq(Mux(taken["turn"] == 0, queues[0].o.payload.wanted, kept)),
            *(q.o.ready.eq(gone & (taken["turn"] == c)) for c, q in enumerate(queues)),
        ]
        m.d.sync += kept.eq(head)
        # By indexing, whose multiplexer takes the wide sums through one level of logic.
        sums = Cat(q.o.payload.sum for q in queues)
        entry = head.mode.settings_page * config.interleave + head.context
        return {
            "valid": taken["valid"],
            "sum": sums.word_select(taken["turn"], config.sum_bits).as_signed(),
            "relu": head.mode.relu,
            "format": head.mode.format,
            "end": gone & head.end & (taken["turn"] == len(queues) - 1),
            "page": head.mode.settings_page,
            "address": taken["turn"] * config.settings_entries + entry,
        } | (self._side_taken(m, head.mode, taken, gone) if config.tensor_words else {})

    def _limb(self, m: Module, turn: Signal, mode, start: Signal, room: Signal, taken: dict):
        """Add to what is `taken` which limb of a RAW sum it is, and whether the last; returns
        whether there is room for all of them."""
        limb, is_raw = Signal(range(OutputFormat.RAW.limbs)), mode.format == OutputFormat.RAW
        with m.If(start & is_raw):
            m.d.sync += limb.eq(limb + 1)
        taken.update(limb=limb, whole=~is_raw | limb.all())
        # They fill a row each, in one column after the other.
        begins = is_raw & (turn == 0) & (limb == 0)
        return ~begins | (room >= OutputFormat.RAW.limbs * len(self.sums) - 1)

    def _side_there(self, m: Module, turn: Signal, mode):
        """Whether the column whose turn it is has the side operands that its tile wants."""
        m.submodules.side = side = self.operands
        for own, port in zip(side.side, self.side, strict=True):
            connect_checked(m, wiring.flipped(port), own)
        connect_checked(m, side.freed, wiring.flipped(self.freed))
        m.d.comb += [
            side.turn.eq(turn),
            side.wants_addend.eq(mode.addend),
            side.wants_mask.eq(mode.mask),
            self.nonfinite.eq(side.nonfinite),
        ]
        return side.there

    def _side_taken(self, m: Module, mode, taken: dict, gone) -> dict:
        """The side operands of the sum that is taken."""
        side = self.operands
        m.d.comb += [
            side.taken_turn.eq(taken["turn"]),
            side.takes_addend.eq(gone & mode.addend),
            side.takes_mask.eq(gone & mode.mask),
        ]
        return {"limb": taken["limb"], "adds": mode.addend, "zero": side.zero & mode.mask}

    def _finish(self, m: Module, entry: dict, epilogue: Epilogue):
        """Send a sum through the epilogue with its settings."""
        config = self.config
        settings = data.StructLayout(
            {"bias": signed(config.accumulator_bits), "scale": 16, "exponent": signed(16)}
        )
        plain = {"bias": 0, "scale": 1 << 15, "exponent": config.format.product_unit_log2 - 15}
        columns = config.columns_per_epilogue
        entries = config.settings_entries
        m.submodules.settings = memory = Memory(
            shape=settings, depth=columns * entries, init=[plain] * (columns * entries)
        )
        if config.compact:
            # Small as it is, and with its initial contents, Yosys would make it of registers.
            memory.attrs["ram_style"] = "block"
        write, read = memory.write_port(), memory.read_port()
        group = self.settings.column // columns
        m.d.comb += [
            write.en.eq(self.settings.valid & (self.settings.all | (group == self.number))),
            write.addr.eq(self.settings.column % columns * entries + self.settings.entry),
            write.data.bias.eq(self.settings.bias),
            write.data.scale.eq(self.settings.scale),
            write.data.exponent.eq(self.settings.exponent),
        ]
        if convert := UNITS[config.accumulation].to_integer:
            m.submodules.to_integer = to_integer = convert(config)
            m.d.comb += [
                to_integer.i.valid.eq(entry["valid"]),
                to_integer.i.sum.eq(entry["sum"]),
            ]
            for stage in range(to_integer.latency):
                entry = register(m, f"integer_{stage}", entry)
            entry |= {"valid": to_integer.o.valid, "sum": to_integer.o.sum}
        if config.tensor_words:
            entry = register(m, "taken_sum", entry)
            entry["addend"] = Mux(entry.pop("adds"), self.operands.addend, 0).as_signed()
        m.d.comb += [read.en.eq(1), read.addr.eq(entry.pop("address"))]
        entry = register(m, "asked", entry)
        if config.tensor_words:
            entry["sum"] = (entry["sum"] + entry.pop("addend"))[: config.exact_bits].as_signed()
        # A block RAM answers late in its cycle, so its word goes into a register first.
        answer = {name: read.data[name] for name in ("bias", "scale", "exponent")}
        entry = register_unless(config.compact, m, "settings", entry | answer)
        m.d.comb += [
            self.release.valid.eq(entry.pop("end")),
            self.release.page.eq(entry.pop("page")),
            *(getattr(epilogue.i, name).eq(signal) for name, signal in entry.items()),
        ]

    def _gather(self, m: Module, result):
        """Keep results by columns, so that a row can be taken whole."""
        filling, next_row = Signal(range(self.room)), Signal(range(self.room))
        next_row_then = Signal.like(next_row)  # in the next cycle
        lane = Signal(range(len(self.row)))
        last_lane = lane == len(self.row) - 1
        row, whole, rows = filling, Const(1), 1
        if self.config.tensor_words:
            # A column gives a RAW sum's limbs one after another, a row each.
            limb = Signal(range(OutputFormat.RAW.limbs))
            row, whole = (filling + limb)[: len(filling)], ~result.raw | limb.all()
            rows = Mux(result.raw, OutputFormat.RAW.limbs, 1)
            with m.If(result.valid & result.raw):
                m.d.sync += limb.eq(limb + 1)
        for c, column in enumerate(self.row):
            m.submodules[f"results_{c}"] = memory = Memory(shape=32, depth=self.room, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(result.valid & (lane == c)),
                write.addr.eq(row),
                write.data.eq(result.data),
                read.addr.eq(next_row_then),
                column.eq(read.data),
            ]
        with m.If(result.valid & whole):
            m.d.sync += lane.eq(lane + 1)
            with m.If(last_lane):
                m.d.sync += filling.eq(filling + rows)
        m.d.comb += next_row_then.eq(next_row + self.row_taken)
        m.d.sync += [
            self.row_there.eq(result.valid & last_lane),
            next_row.eq(next_row_then),
        ]
