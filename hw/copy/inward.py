"""Rows of bytes from external memory's beats into tensor memory, or to the host.

beats ─► rotate, merge ─► [row's next beat] ─┬─► a group a cycle, or the word ─► write port
                                             └─► host
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.bursts import READ_BEAT
from ..config import Config
from ..layouts.stream import beat
from ..layouts.tensor import WRITE_PORT
from .rows import COPY_ROW


class Inward(wiring.Component):
    """Write one row after another; zeros behind its bytes, up to the end of a group or word.

    Latency: 1 cycle from a beat, or the next one, to its first group. Throughput: a beat a cycle,
    of rows that are dealt to lanes a group a cycle; a row takes a cycle more if it begins within a
    beat, unless it ends there too. Stall rule: waits for beats, for `granted`, and for the host.

    What came of a beat that is `bad` is not written, nor is what lies in the same beat of its row.

    Members
    -------
    rows : In stream of COPY_ROW
    beats : In stream of READ_BEAT, for each row those that it reaches into
    port : Out(layouts.WRITE_PORT), none is written while `granted`, In(1), is not
    held : Out(1), something is to be written that is not `granted`
    host : Out stream of layouts.beat, rows of `host`; the last row's last beat is `last`
    finished : Out(1), a row with `end` has been written
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(COPY_ROW(config))),
                "beats": In(stream.Signature(READ_BEAT(config))),
                "port": Out(WRITE_PORT(config)),
                "granted": In(1),
                "held": Out(1),
                "host": Out(stream.Signature(beat(config))),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        part, free = self._align(m)
        self._write(m, part, free)
        return m

    def _align(self, m: Module):
        """The next beat of a row, zeros behind the row's end, in a register; it is taken when that
        is `free`. Returns both."""
        config, row, beat_in = self.config, self.rows.payload, self.beats.payload
        size = config.stream_bytes
        part = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "data": 8 * size,
                    "bytes": range(size + 1),
                    "word": range(config.tensor_words),
                    "lane": range(config.lanes),
                    "whole": 1,
                    "host": 1,
                    "bad": 1,
                    "end": 1,
                }
            )
        )
        free = Signal()
        offset = row.address[: size.bit_length() - 1]
        begun, held = Signal(), Signal()
        """Some of the row's beats have been made; the upper bytes of its last one are kept."""
        later_left, later_word = Signal.like(row.row_bytes), Signal.like(row.word)
        left, word = Signal.like(row.row_bytes), Signal.like(row.word)
        kept, kept_bad = Signal(8 * size, reset_less=True), Signal(reset_less=True)
        rotated = Signal(8 * size)
        m.d.comb += [
            left.eq(Mux(begun, later_left, row.row_bytes)),
            word.eq(Mux(begun, later_word, row.word)),
        ]
        with m.Switch(offset):
            for n in range(size):
                with m.Case(n):
                    m.d.comb += rotated.eq(beat_in.data.rotate_right(8 * n))
        # What is kept, or a first beat, may hold all that is left.
        enough, done = left <= size - offset, left <= size
        makes, takes = Signal(), Signal()
        wanted = ~held | ~enough
        m.d.comb += [
            takes.eq(self.rows.valid & wanted & self.beats.valid & (free | ~makes)),
            makes.eq(held | enough | (offset == 0)),
            self.beats.ready.eq(self.rows.valid & wanted & (free | ~makes)),
        ]
        made = self.rows.valid & makes & free & (~wanted | self.beats.valid)
        m.d.comb += self.rows.ready.eq(made & done)
        with m.If(takes):
            m.d.sync += [
                kept.eq(rotated),
                kept_bad.eq(beat_in.bad),
                held.eq(offset != 0),
            ]
        with m.If(made):
            step = Mux(row.whole | row.host, 1, config.lanes)
            m.d.sync += [begun.eq(1), later_left.eq(left - size), later_word.eq(word + step)]
            with m.If(done):
                m.d.sync += [begun.eq(0), held.eq(0)]
        bytes_ = []
        for n in range(size):
            merged = Mux(
                held & (n < size - offset), kept.word_select(n, 8), rotated.word_select(n, 8)
            )
            bytes_.append(Mux(n < left, merged, 0))
        with m.If(free):
            m.d.sync += [
                part.valid.eq(made),
                part.data.eq(Cat(bytes_)),
                part.bytes.eq(Mux(done, left, size)),
                part.word.eq(word),
                part.lane.eq(row.lane),
                part.whole.eq(row.whole),
                part.host.eq(row.host),
                part.bad.eq(row.outside | (held & kept_bad) | (wanted & beat_in.bad)),
                part.end.eq(row.end & done),
            ]
        return part, free

    def _write(self, m: Module, part, free: Signal):
        """The part's groups in a lane one after another, or all of it at once."""
        config, lanes, size = self.config, self.config.lanes, 8 * self.config.group_bytes
        group = Signal(range(lanes))
        spread = part.whole | part.host
        last = spread | (part.bytes <= (group + 1) * config.group_bytes)
        writes, gone = part.valid & ~part.host & self.granted, Signal()
        m.d.comb += [
            gone.eq(Mux(part.host, part.valid & self.host.ready, writes & last)),
            free.eq(~part.valid | gone),
            self.held.eq(part.valid & ~part.host & ~self.granted),
            self.host.valid.eq(part.valid & part.host),
            self.host.payload.data.eq(part.data),
            self.host.payload.last.eq(part.end),
            self.finished.eq(gone & part.end),
        ]
        with m.If(writes):
            m.d.sync += group.eq(Mux(last, 0, group + 1))
        units = config.group_bytes // config.write_bytes
        one = part.data.word_select(group, size)
        for lane in range(lanes):
            mine = writes & ~part.bad & (part.whole | (part.lane == lane))
            m.d.comb += [
                self.port.enable.word_select(lane, units).eq(mine.replicate(units)),
                self.port.address[lane].eq(part.word + Mux(spread, 0, group)),
                self.port.data.word_select(lane, size).eq(
                    Mux(spread, part.data.word_select(lane, size), one)
                ),
            ]
