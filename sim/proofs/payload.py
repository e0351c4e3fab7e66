"""PayloadUnpacker: every chunk is on the bus once, in its place, and every LOAD ends once."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.buffers.payload import PayloadUnpacker
from ...hw.config import Config
from ...hw.isa.maps import chunks
from ...hw.layouts.stream import beat
from .claims import elaborated


class PayloadUnpackerProof(wiring.Component):
    """Payloads of any beats, with any pauses; a LOAD starts only when the one before is done."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "target": In(2),
                "address": In(16),
                "count": In(16),
                "valid": In(1),
                "payload": In(beat(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unpacker = PayloadUnpacker(self.config)
        m.submodules.unpacker = elaborated(unpacker)
        running = Signal()
        m.d.comb += [
            unpacker.start.eq(self.start),
            unpacker.target.eq(self.target),
            unpacker.address.eq(self.address),
            unpacker.count.eq(self.count),
            unpacker.i.valid.eq(self.valid),
            unpacker.i.payload.eq(self.payload),
            Assume(~self.start | (~running & (self.count != 0))),
        ]
        taken = unpacker.i.valid & unpacker.i.ready

        # What a LOAD asked for, and the beat that is being dealt.
        target, first, words = Signal(2), Signal(16), Signal(16)
        word, chunk, place = Signal(16), Signal(8), Signal(8)
        now, there = Signal(beat(self.config)), Signal()
        per_word, per_beat, bits = Signal(8), Signal(8), Signal(16)
        with m.Switch(target):
            for kind, dealt in chunks(self.config).items():
                with m.Case(kind):
                    m.d.comb += [
                        per_word.eq(dealt.per_word),
                        per_beat.eq(dealt.per_beat),
                        bits.eq(dealt.bits),
                    ]
        whole = chunk == per_word - 1
        complete = whole & (word == words - 1)
        used_up = place == per_beat - 1
        m.d.comb += [
            # A chunk goes out when, and only when, a beat is there; and it is the next one.
            Assert(unpacker.write.valid == there),
            Assert(~taken | (running & (~there | used_up))),
            Assert(~unpacker.done | running),
        ]
        with m.If(there):
            m.d.comb += [
                Assert(unpacker.write.target == target),
                Assert(unpacker.write.address == (first + word)[:16]),
                Assert(unpacker.write.chunk == chunk),
                Assert(unpacker.write.data == now.data >> (place * bits)[:16]),
                # The LOAD ends with its last chunk, or with the packet.
                Assert(unpacker.done == (complete | (used_up & now.last))),
            ]
            m.d.sync += [
                chunk.eq(chunk + 1),
                place.eq(place + 1),
                there.eq(~used_up & ~unpacker.done),
            ]
            with m.If(whole):
                m.d.sync += [chunk.eq(0), word.eq(word + 1)]
        with m.Else():
            m.d.comb += Assert(~unpacker.done)
        with m.If(unpacker.done):
            m.d.sync += running.eq(0)
            m.d.comb += [
                Assert(unpacker.ended == now.last),
                Assert(unpacker.bad_length == ~(complete & now.last)),
                Cover(~unpacker.bad_length & (words == 2)),
                Cover(unpacker.bad_length & now.last),
                Cover(unpacker.bad_schedule),
            ]
        with m.If(taken):
            m.d.sync += [now.eq(self.payload), place.eq(0), there.eq(1)]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                target.eq(self.target),
                first.eq(self.address),
                words.eq(self.count),
                word.eq(0),
                chunk.eq(0),
            ]
        # No deadlock: while a LOAD is under way, it deals or asks for a beat.
        m.d.comb += Assert(~running | there | unpacker.i.ready)
        # What `sequencer_steps.py` relies on.
        m.d.comb += Assert(~unpacker.i.ready | (running & ~unpacker.done & ~(there & now.last)))

        # What its registers hold then, for induction.
        m.d.comb += [Assert(unpacker.active == running), Assert(unpacker.full == there)]
        with m.If(running):
            m.d.comb += [
                Assert(unpacker.held_target == target),
                Assert(unpacker.held_address == (first + word)[:16]),
                Assert((words != 0) & (word < words)),
                Assert(unpacker.words == words - word),
                Assert(unpacker.last_word == (unpacker.words == 1)),
                Assert((unpacker.chunk == chunk) & (chunk < per_word)),
                Assert(
                    (unpacker.last_chunk == per_word - 1) & (unpacker.last_position == per_beat - 1)
                ),
                Assert(there | (unpacker.position == 0)),
            ]
        with m.If(there):
            m.d.comb += [
                Assert(running & (unpacker.held.last == now.last)),
                Assert(unpacker.held.data == now.data >> (place * bits)[:16]),
                Assert((unpacker.position == place) & (place < per_beat)),
            ]
        return m
