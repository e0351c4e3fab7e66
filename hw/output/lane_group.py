"""The way out of the array: sums wait in their columns' queues, a shared epilogue finishes them.

sums of column 0 ─►[queue]─┐                      settings
sums of column 1 ─►[queue]─┼─► one in turn ─► bias, scale, ReLU, rounding ─►[results]─► row of S
…                 ─►[queue]─┘
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..array.mac import UNITS, longest_conversion
from ..config import Config
from ..layouts import DRAINED, MODE, RELEASE_SETTINGS, settings_signature
from ..lib.fifo import Fifo
from ..lib.pipeline import register, register_unless
from .epilogue import STAGES, Epilogue

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
    cycles. Stall rule: rows wait to be taken; sums never wait, the issuer has made room in the
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
    """

    settle = longest_conversion() + 3 + STAGES

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
        start = Signal()
        m.d.comb += start.eq(Cat(q.o.valid for q in queues).bit_select(turn, 1) & (room >= 0))
        # A cycle late, which only makes a sum wait: the wire is long.
        left = Signal()
        m.d.sync += [
            left.eq(self.row_taken),
            room.eq(room - start + Mux(left, len(queues), 0)),
        ]
        with m.If(start):
            m.d.sync += turn.eq(turn + 1)
        # A sum is taken the cycle after, so that registers lead to the many bits of a queue; by
        # then another queue has its turn, if there is another one.
        taken = {"valid": start, "turn": turn}
        if len(queues) > 1:
            taken = register(m, "taken", taken)
        head, kept = Signal(wanted), Signal(wanted, reset_less=True)
        m.d.comb += [
            head.eq(Mux(taken["turn"] == 0, queues[0].o.payload.wanted, kept)),
            *(q.o.ready.eq(taken["valid"] & (taken["turn"] == c)) for c, q in enumerate(queues)),
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
            "end": taken["valid"] & head.end & (taken["turn"] == len(queues) - 1),
            "page": head.mode.settings_page,
            "address": taken["turn"] * config.settings_entries + entry,
        }

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
        m.d.comb += [read.en.eq(1), read.addr.eq(entry.pop("address"))]
        entry = register(m, "asked", entry)
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
        for c, column in enumerate(self.row):
            m.submodules[f"results_{c}"] = memory = Memory(shape=32, depth=self.room, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(result.valid & (lane == c)),
                write.addr.eq(filling),
                write.data.eq(result.data),
                read.addr.eq(next_row_then),
                column.eq(read.data),
            ]
        with m.If(result.valid):
            m.d.sync += lane.eq(lane + 1)
            with m.If(last_lane):
                m.d.sync += filling.eq(filling + 1)
        m.d.comb += next_row_then.eq(next_row + self.row_taken)
        m.d.sync += [
            self.row_there.eq(result.valid & last_lane),
            next_row.eq(next_row_then),
        ]
