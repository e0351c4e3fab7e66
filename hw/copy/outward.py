"""Rows of bytes from tensor memory, or from the host, into beats for external memory.

words ─┬─► the lane's groups, as many as fill a beat ─┐
       └─► as they are ───────────────────────────────┼─► rotate, merge, strobes ─► beats
host ─────────────────────────────────────────────────┘
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.bursts import WRITE_BEAT
from ..config import Config
from ..layouts.tensor import READ_PORT
from ..lib.connect import connect_checked
from ..lib.fifo import Fifo
from ..tensor.beats import BeatReader
from .rows import COPY_ROW, words_of

ROWS_AHEAD = 4
"""Rows whose words are read while those of a row before them are on their way."""


class Outward(wiring.Component):
    """Make beats of one row after another, with strobes for its bytes alone.

    Latency: 5 cycles from a row to its first beat. Throughput: a beat a cycle, of rows that are
    dealt to lanes a group a cycle; a row takes 1 cycle more. Stall rule: waits for tensor memory,
    for the host, and for `beats`.

    Members
    -------
    rows : In stream of COPY_ROW
    port : Out(layouts.READ_PORT)
    host : In stream of WRITE_BEAT, what a row of `host` is made of
    beats : Out stream of WRITE_BEAT, for each row those that it reaches into; of one that is
        `outside` without strobes
    busy : Out(1), a row is there whose beats have not all been made
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(COPY_ROW(config))),
                "port": Out(READ_PORT(config)),
                "host": In(stream.Signature(WRITE_BEAT(config))),
                "beats": Out(stream.Signature(WRITE_BEAT(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, row = self.config, self.rows.payload
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.ahead = ahead = Fifo(COPY_ROW(config), ROWS_AHEAD)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        m.d.comb += [
            self.rows.ready.eq(ahead.i.ready & (reader.words.ready | row.host)),
            ahead.i.valid.eq(self.rows.valid & self.rows.ready),
            ahead.i.payload.eq(row),
            self.busy.eq(ahead.o.valid),
            reader.words.valid.eq(self.rows.valid & ahead.i.ready & ~row.host),
            reader.words.payload.address.eq(row.word),
            # A COPY's first row has no more than there are, and neither have the others.
            reader.words.payload.count.eq(words_of(config, row)),
        ]
        parts = stream.Signature(WRITE_BEAT(config)).create()
        wanted = self._place(m, ahead.o, parts)
        # What comes when the row has all its parts is the next one's.
        self._collect(m, ahead.o.payload, wanted, reader.o, parts)
        return m

    def _collect(self, m: Module, row, wanted, words, parts):
        """The row's next part, if one is wanted: the host's word, a word, or groups of several."""
        config, size = self.config, 8 * self.config.group_bytes
        group, held = Signal(range(config.lanes)), Signal(8 * config.stream_bytes, reset_less=True)
        one = words.payload.data.word_select(row.lane, size)
        fills = row.whole | (group == config.lanes - 1) | words.payload.last
        collected = Cat(
            Mux(lane < group, held.word_select(lane, size), one) for lane in range(config.lanes)
        )
        taken = words.valid & words.ready
        m.d.comb += [
            parts.valid.eq(wanted & Mux(row.host, self.host.valid, words.valid & fills)),
            parts.payload.data.eq(
                Mux(row.host, self.host.payload.data, Mux(row.whole, words.payload.data, collected))
            ),
            parts.payload.strobe.eq(Mux(row.host, self.host.payload.strobe, ~0)),
            self.host.ready.eq(wanted & row.host & parts.ready),
            words.ready.eq(wanted & ~row.host & (parts.ready | ~fills)),
        ]
        with m.If(taken):
            m.d.sync += [held.eq(collected), group.eq(Mux(fills, 0, group + 1))]

    def _place(self, m: Module, rows, parts):
        """The row's parts where they lie in external memory's beats. Returns whether a row wants
        another one."""
        size, row = self.config.stream_bytes, rows.payload
        offset = row.address[: size.bit_length() - 1]
        begun, later_left = Signal(), Signal(len(row.row_bytes) + 1)
        left = Signal.like(later_left)
        """Bytes from the beat's first on to the row's end."""
        rotated, kept = Signal(8 * size), Signal(8 * size, reset_less=True)
        m.d.comb += left.eq(Mux(begun, later_left, row.row_bytes + offset))
        with m.Switch(offset):
            for n in range(size):
                with m.Case(n):
                    m.d.comb += rotated.eq(parts.payload.data.rotate_left(8 * n))
        more, done, made = ~begun | (left > offset), left <= size, Signal()
        m.d.comb += [
            made.eq(self.beats.valid & self.beats.ready),
            self.beats.valid.eq(rows.valid & (~more | parts.valid)),
            parts.ready.eq(self.beats.ready),
            rows.ready.eq(made & done),
            self.beats.payload.data.eq(
                Cat(
                    Mux(n < offset, kept.word_select(n, 8), rotated.word_select(n, 8))
                    for n in range(size)
                )
            ),
            self.beats.payload.strobe.eq(
                Cat((begun | (n >= offset)) & (n < left) & ~row.outside for n in range(size))
                & parts.payload.strobe
            ),
        ]
        with m.If(made):
            m.d.sync += [begun.eq(~done), later_left.eq(left - size), kept.eq(rotated)]
        return rows.valid & more
