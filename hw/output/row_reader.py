"""The row reader: rows of results out of the lane groups, RUN after RUN."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import ROUNDED, OutputFormat
from ..layouts.output import OUTPUT, ROW


class RowReader(wiring.Component):
    """Take the rows that each RUN sends out, pack them, and hand them to whom they are for.

    Latency: 3 cycles from `row_there` to `valid`. Throughput: a beat a cycle, also from one row to
    the next; a row that is stored is a single beat. Without tensor memory one cycle is lost from
    RUN to RUN. Stall rule: waits for rows, and for who takes them.

    The request for a row comes from a register and is made a cycle before the row is needed,
    because the columns are many and far away on the chip. Whether the row will fit must be known
    by then.

    Members
    -------
    wanted : In stream of layouts.OUTPUT
    row_there : In(1), one more row of results is complete; rows stay until they are taken
    columns : C x In(32), the results of the row that is next, narrow formats in the low bits
    row_taken : Out(1), the row is taken in this cycle; the next one is there in the one after
    host : Out(layouts.ROW), rows for the host

    With tensor memory also

    memory : Out(layouts.ROW), rows to store, whole
    run : Out(layouts.OUTPUT), of the row that is here
    sums_left : Out(1), with `row_taken`: nothing of the row's sums stays behind, as it does until a
        RAW row's last limb
    """

    def __init__(self, config: Config):
        self.config = config
        memory = {"memory": Out(ROW(config)), "run": Out(OUTPUT(config)), "sums_left": Out(1)}
        super().__init__(
            {
                "wanted": In(stream.Signature(OUTPUT(config))),
                "row_there": In(1),
                "columns": In(32).array(config.columns),
                "row_taken": Out(1),
                "host": Out(ROW(config)),
            }
            | (memory if config.tensor_words else {})
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        asking, more = Signal(OUTPUT(config)), Signal()  # `more`: rows of it are to be asked for
        asked = Signal()
        if config.tensor_words:
            taking, last_row = self._ahead(m, asking, asked, more)
        else:
            taking, last_row = asking, ~more
            m.d.comb += self.wanted.ready.eq(~more)
        with m.If(asked):
            m.d.sync += [asking.rows.eq(asking.rows - 1), more.eq(asking.rows != 1)]
        with m.If(self.wanted.ready):
            m.d.sync += [asking.eq(self.wanted.payload), more.eq(self.wanted.valid)]

        beat_bits = 8 * config.stream_bytes
        per_row = {output: config.row_beats(output) for output in ROUNDED}
        valid, last, final = Signal(), Signal(), Signal()
        row = Signal(len(self.host.data), reset_less=True)
        left = Signal(range(max(per_row.values())))  # beats after the next one
        packed, beats = Signal.like(row), Signal.like(left)
        with m.Switch(taking.format):
            for kind in config.outputs:
                with m.Case(kind):
                    m.d.comb += packed.eq(Cat(c[: kind.result_bits] for c in self.columns))
                    if kind in per_row:
                        m.d.comb += beats.eq(per_row[kind] - 1)
        go, go_next = self._takers(m, taking, beats, {"valid": valid, "last": last, "final": final})
        m.d.comb += self.host.data.eq(row)

        # What the row will be in the next cycle, to ask for the row after it in time.
        leaves = valid & go
        ended = leaves & last
        valid_next, last_next = Signal(), Signal()
        m.d.comb += [
            valid_next.eq(self.row_taken | (valid & ~ended)),
            last_next.eq(Mux(self.row_taken, beats == 0, Mux(leaves, left == 0, last))),
        ]
        m.d.sync += [valid.eq(valid_next), last.eq(last_next)]
        with m.If(self.row_taken):
            m.d.sync += [row.eq(packed), left.eq(beats - 1), final.eq(last_row)]
        with m.Elif(leaves):
            m.d.sync += [row.eq(row[beat_bits:]), left.eq(left - 1)]

        there = Signal(range(config.output_depth + 1))
        some, several = Signal(), Signal()
        there_next = Signal.like(there)
        m.d.comb += [
            # The row that is taken in this cycle is still among those that are there.
            asked.eq(
                more & Mux(self.row_taken, several, some) & (~valid_next | (go_next & last_next))
            ),
            there_next.eq(there + self.row_there - self.row_taken),
        ]
        m.d.sync += [
            self.row_taken.eq(asked),
            there.eq(there_next),
            some.eq(there_next != 0),
            several.eq(there_next > 1),
        ]
        return m

    def _ahead(self, m: Module, asking, asked, more):
        """Take the next RUN with the request for the last row of the one before; returns what the
        row that is taken belongs to, and whether it is its RUN's last."""
        taking, last_row = Signal.like(asking), Signal()
        m.d.comb += self.wanted.ready.eq(~more | (asked & (asking.rows == 1)))
        with m.If(asked):
            m.d.sync += [taking.eq(asking), last_row.eq(asking.rows == 1)]
        return taking, last_row

    def _takers(self, m: Module, asking, beats: Signal, row: dict[str, Signal]):
        """Show the row to whom it is for; returns whether that one takes it now and will next."""
        if not self.config.tensor_words:
            m.d.comb += [getattr(self.host, name).eq(value) for name, value in row.items()]
            return self.host.go, self.host.go_next
        run, store_next = self.run, Signal()
        with m.If(self.row_taken):
            m.d.sync += run.eq(asking)
        limb, is_raw = Signal(range(OutputFormat.RAW.limbs)), asking.format == OutputFormat.RAW
        with m.If(asking.store):
            m.d.comb += beats.eq(0)
        with m.If(self.row_taken & is_raw):
            m.d.sync += limb.eq(limb + 1)
        m.d.comb += self.sums_left.eq(self.row_taken & (~is_raw | limb.all()))
        m.d.comb += [
            store_next.eq(Mux(self.row_taken, asking.store, run.store)),
            self.memory.data.eq(self.host.data),
        ]
        for taker, mine in ((self.host, ~run.store), (self.memory, run.store)):
            m.d.comb += [
                taker.valid.eq(row["valid"] & mine),
                taker.last.eq(row["last"]),
                taker.final.eq(row["final"]),
            ]
        go, go_next = (
            Mux(store, getattr(self.memory, name), getattr(self.host, name))
            for store, name in ((run.store, "go"), (store_next, "go_next"))
        )
        return go, go_next
