"""From payload beats to the banks: one chunk a cycle on the write bus."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..isa.maps import chunks
from ..layouts.array import write_signature
from ..layouts.stream import beat


class PayloadUnpacker(wiring.Component):
    """Deal the payload of one LOAD out (see `maps.Chunks`).

    Latency: a beat's first chunk is on the bus the cycle after the beat was taken. Throughput: one
    chunk a cycle. Stall rule: takes a beat only while a payload is under way, and never one that
    follows a packet's last.

    Members
    -------
    start : In(1), with `target`, `address` and `count` (words, at least 1) of the LOAD
    i : In stream of layouts.beat
    write : the write bus
    done : Out(1), pulses after the last chunk, or when the packet ended early; with it
    ended : Out(1), the packet's last beat has been taken
    bad_length, bad_schedule : Out(1), what was wrong
    """

    def __init__(self, config: Config):
        self.config = config
        self.active, self.full = Signal(), Signal()
        self.held = Signal(beat(config))
        self.held_target, self.held_address, self.words = Signal(Target), Signal(16), Signal(16)
        self.chunk, self.last_chunk = Signal(8), Signal(8)
        longest = max(kind.per_beat for kind in chunks(config).values())
        self.position, self.last_position = Signal(range(longest)), Signal(range(longest))
        """Which chunk of its beat; the target's numbers are looked up once."""
        self.last_word = Signal()
        super().__init__(
            {
                "start": In(1),
                "target": In(Target),
                "address": In(16),
                "count": In(16),
                "i": In(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "done": Out(1),
                "ended": Out(1),
                "bad_length": Out(1),
                "bad_schedule": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        kinds = chunks(config)
        active, full, held = self.active, self.full, self.held
        target, address, words = self.held_target, self.held_address, self.words
        chunk, position, last_word = self.chunk, self.position, self.last_word
        last_chunk, last_position = self.last_chunk, self.last_position
        beat_done, word_done = position == last_position, chunk == last_chunk
        shifted = Signal.like(held.data)
        with m.Switch(target):
            for kind, dealt in kinds.items():
                with m.Case(kind):
                    m.d.comb += shifted.eq(held.data >> dealt.bits)
        payload_done = word_done & last_word
        finishing = full & (payload_done | (beat_done & held.last))
        over_full = Signal()
        bad_schedule = Signal()
        m.d.comb += [
            over_full.eq(
                full & (target == Target.SCHEDULE) & (held.data[: config.count_bits] > config.group)
            ),
            self.write.valid.eq(full),
            self.write.target.eq(target),
            self.write.address.eq(address),
            self.write.chunk.eq(chunk),
            self.write.data.eq(held.data),
            self.i.ready.eq(active & ~finishing & (~full | beat_done)),
            self.done.eq(finishing),
            self.ended.eq(held.last),
            # The packet has to end with the beat that completes the payload.
            self.bad_length.eq(~(payload_done & held.last)),
            self.bad_schedule.eq(bad_schedule | over_full),
        ]
        with m.If(full):
            m.d.sync += [
                held.data.eq(shifted),
                position.eq(Mux(beat_done, 0, position + 1)),
                chunk.eq(Mux(word_done, 0, chunk + 1)),
                bad_schedule.eq(self.bad_schedule),
            ]
            with m.If(word_done):
                m.d.sync += [
                    address.eq(address + 1),
                    words.eq(words - 1),
                    last_word.eq(words == 2),
                ]
            with m.If(beat_done):
                m.d.sync += full.eq(0)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [held.eq(self.i.payload), full.eq(1)]
        with m.If(finishing):
            m.d.sync += [active.eq(0), full.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                target.eq(self.target),
                address.eq(self.address),
                words.eq(self.count),
                chunk.eq(0),
                position.eq(0),
                bad_schedule.eq(0),
                last_word.eq(self.count == 1),
            ]
            with m.Switch(self.target):
                for kind, dealt in kinds.items():
                    with m.Case(kind):
                        m.d.sync += [
                            last_position.eq(dealt.per_beat - 1),
                            last_chunk.eq(dealt.per_word - 1),
                        ]
        return m
