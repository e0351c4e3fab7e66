"""Sequencer: every packet is answered once, after its end; one command as what it was."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.control.sequencer import Sequencer
from ...hw.isa.codes import Opcode, Status
from ...hw.layouts.stream import beat
from .claims import ends_within

SILENCE = 19
"""Cycles in which nothing moves, a header's check included, though everybody outside is willing."""


def surroundings(config: Config) -> dict[str, wiring.Member]:
    """What the solver chooses of a sequencer's inputs."""
    return {
        "valid": In(1),
        "payload": In(beat(config)),
        "run_ready": In(1),
        "response_ready": In(1),
        "idle": In(1),
    }


def surround(m: Module, proof, sequencer: Sequencer):
    """Connect those."""
    m.d.comb += [
        sequencer.i.valid.eq(proof.valid),
        sequencer.i.payload.eq(proof.payload),
        sequencer.run.ready.eq(proof.run_ready),
        sequencer.response.ready.eq(proof.response_ready),
        sequencer.idle.eq(proof.idle),
    ]


class SequencerProof(wiring.Component):
    """Any packets, whole, cut short or too long, with any pauses on all sides.

    No RUN ends here, so that what a second one, or a LOAD, waits for may never come; for what
    follows then see `sequencer_steps.py`.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(surroundings(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.sequencer = sequencer = Sequencer(config)
        surround(m, self, sequencer)
        taken = sequencer.i.valid & sequencer.i.ready
        answer = sequencer.response.payload
        answered = sequencer.response.valid & self.response_ready
        run = sequencer.run.valid & self.run_ready

        # The packet that is under way: its beats so far, whether its end was taken, its first two
        # bytes, and the RUNs and writes that it led to.
        beats, ended = Signal(range(256)), Signal()
        opcode, tag = Signal(8), Signal(8)
        runs, settings, writes = Signal(), Signal(), Signal()
        any_run = Signal()
        with m.If(taken):
            m.d.comb += Assert(~ended)
            m.d.sync += [beats.eq(Mux(beats == 255, 255, beats + 1)), ended.eq(self.payload.last)]
            with m.If(beats == 0):
                m.d.sync += [opcode.eq(self.payload.data[:8]), tag.eq(self.payload.data[8:16])]
        whole, single = beats >= config.header_beats, beats <= config.header_beats
        loads = opcode == Opcode.LOAD
        with m.If(run):
            m.d.comb += [Assert(~(runs & single)), Assert(whole & ~loads)]
            m.d.comb += Assert(~single | (opcode == Opcode.RUN))
            m.d.sync += [runs.eq(1), any_run.eq(1)]
        with m.If(sequencer.settings.valid):
            m.d.comb += [Assert(whole & ~loads), Assert(~single | (opcode == Opcode.SETTINGS))]
            m.d.sync += settings.eq(1)
        with m.If(sequencer.write.valid):
            m.d.comb += [Assert(whole), Assert(~single | loads)]
            m.d.sync += writes.eq(1)
        with m.If(sequencer.response.valid):
            ok = answer.status == Status.OK
            # Once, and only when the whole packet is there.
            m.d.comb += [Assert(ended), Assert(whole | (answer.status == Status.BAD_LENGTH))]
            with m.If(single | loads):
                m.d.comb += [
                    Assert(answer.opcode == Mux(whole, opcode, 0)),
                    Assert(answer.tag == Mux(whole, tag, 0)),
                    # What is answered well was done, what is refused was not.
                    Assert(runs == (ok & (answer.opcode == Opcode.RUN))),
                    Assert(settings == (ok & (answer.opcode == Opcode.SETTINGS))),
                    Assert(~ok | (answer.opcode != Opcode.LOAD) | writes),
                    Assert(~ok | (loads ^ single)),
                ]
        with m.If(answered):
            m.d.sync += [beats.eq(0), ended.eq(0), runs.eq(0), settings.eq(0), writes.eq(0)]
        m.d.comb += [
            Cover(answered & runs),
            Cover(answered & writes & (answer.status == Status.OK)),
            Cover(answered & ended & (beats == 6) & (answer.status == Status.BAD_LENGTH)),
        ]
        # No deadlock.
        willing = self.valid & self.run_ready & self.response_ready & self.idle & ~any_run
        moved = taken | answered | sequencer.write.valid
        ends_within(m, willing & ~moved, SILENCE)
        return m
