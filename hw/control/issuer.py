"""The issuer: starts one slot a cycle, and only what can finish without ever stopping the array.

The array and its feeders have no stall: what is issued flows through. So whatever a tile's end
needs - a free drain chain, room for its rows in the output buffers - is secured before its last
round is issued; until then bubbles go out, and their cause is counted.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..isa.maps import address_bits
from ..layouts.array import FINISH, HOLDING, RECORD


class Issuer(wiring.Component):
    """Turn group records into read requests for the feeders.

    A group of N is N rounds of T slots. Latency: none from a record to its first request.
    Throughput: one slot a cycle; the last round of a finishing tile waits until R·T cycles after
    the previous tile's, and until its R·T rows fit into the output buffers.

    After reset it first sends one round of `last`, which clears every accumulator; for training R
    + 2 slots, which also let every element hold the index 0.

    Members
    -------
    records : In stream of layouts.RECORD
    activation_address, load : Out, read request to the activation feeder
    slot_address, valid, last : Out, read request to the weight feeder
    finish : Out(layouts.FINISH), with the first `last` of a finished tile
    end : Out(1), the last slot of a RUN goes out in this cycle; `end_finish` if it finishes
    holding : Out(layouts.HOLDING), for training, with the slot; and its `index_address`, and
        whether it is `mute`, its weight being zero
    row_taken : In(1), a row of C results left the output buffers
    stall_drain, stall_output : Out(1), a round waits, and why
    """

    def __init__(self, config: Config):
        self.config = config
        # The last round of a tile waits until `room` is not negative and `drain` is zero.
        spare = config.output_depth - config.tile_rows
        self.room = Signal(range(-config.tile_rows, spare + 1), init=spare)
        """Rows that the output buffers could still take after one more tile; negative if that tile
        would not fit."""
        self.drain = Signal(range(config.tile_rows + 1))
        """Cycles until the drain chain is free."""
        self.finished = Signal()
        """A tile ended in the cycle before; `room` and `drain` do not show it yet."""
        self.to_flush = Signal(range(config.rows + 2), init=config.rows + 1)
        """Slots that are still to come after the one that is sent after reset; for training."""
        super().__init__(
            {
                "records": In(stream.Signature(RECORD(config))),
                "activation_address": Out(address_bits(config)[Target.ACTIVATIONS]),
                "load": Out(1),
                "slot_address": Out(address_bits(config)[Target.VALUES]),
                "valid": Out(1),
                "last": Out(1),
                "finish": Out(FINISH(config)),
                "end": Out(1),
                "end_finish": Out(1),
                "row_taken": In(1),
                "stall_drain": Out(1),
                "stall_output": Out(1),
                **(self._holding(config) if config.training else {}),
            }
        )

    @staticmethod
    def _holding(config: Config) -> dict:
        return {
            "holding": Out(HOLDING),
            "index_address": Out(address_bits(config)[Target.INDICES]),
            "mute": Out(1),
        }

    def elaborate(self, platform):
        m = Module()
        config, contexts = self.config, self.config.interleave
        record = self.records.payload

        # Rounds begin at phase 0, so that context t always works in phase t.
        phase = Signal(range(contexts))
        phase_first, phase_last = phase == 0, phase == contexts - 1
        if contexts > 1:
            m.d.sync += phase.eq(Mux(phase_last, 0, phase + 1))

        flush = Signal(init=1)
        with m.If(phase_last & (self.to_flush == 0) if config.training else phase_last):
            m.d.sync += flush.eq(0)

        drain, room, finished = self.drain, self.room, self.finished
        drain_free = (drain == 0) & ~finished
        output_free = room >= 0

        round_number = Signal.like(record.more_rounds)
        group_done = round_number == record.more_rounds
        finishing = group_done & record.last & record.mode.finish
        wanted = self.records.valid & ~flush
        start = Signal()
        running = Signal()
        issue = Signal()
        m.d.comb += [
            start.eq(phase_first & wanted & (~finishing | (drain_free & output_free))),
            issue.eq(Mux(phase_first, start, running)),
            self.stall_drain.eq(phase_first & wanted & finishing & ~drain_free),
            self.stall_output.eq(phase_first & wanted & finishing & drain_free & ~output_free),
        ]
        m.d.sync += running.eq(issue)

        if config.tile_rows > 1:
            m.d.sync += finished.eq(start & finishing)
            ended = finished
        else:
            # The next tile may end in the next cycle.
            ended = start & finishing
        with m.If(finished):
            m.d.sync += drain.eq(config.tile_rows - 2)
        with m.Elif(drain != 0):
            m.d.sync += drain.eq(drain - 1)
        m.d.sync += room.eq(room + self.row_taken - Mux(ended, config.tile_rows, 0))

        # Read requests.
        page = len(self.slot_address) - 1
        slot = Signal(len(self.slot_address))
        here = Signal.like(slot)
        fresh = record.first & (round_number == 0) & phase_first
        m.d.comb += [
            here.eq(Mux(fresh, record.slot_base, slot)),
            self.slot_address.eq(here),
            self.valid.eq(issue & ~record.empty),
            self.last.eq(flush | (issue & finishing)),
            self.activation_address.eq(record.address),
            self.load.eq(start & (round_number == 0)),
        ]
        with m.If(self.valid):
            m.d.sync += slot.eq(Cat((here + 1)[:page], here[page:]))

        last_phase_of_round = issue & phase_last
        with m.If(last_phase_of_round):
            m.d.sync += round_number.eq(Mux(group_done, 0, round_number + 1))
        m.d.comb += [
            self.records.ready.eq(last_phase_of_round & group_done),
            self.finish.valid.eq(start & finishing),
            self.finish.mode.eq(record.mode),
            self.finish.end.eq(record.end),
            self.end.eq(last_phase_of_round & group_done & record.end),
            self.end_finish.eq(record.mode.finish),
        ]
        if config.training:
            self._hold(m, flush)
        return m

    def _hold(self, m: Module, flush):
        """Which index goes with a slot, and what elements do with it."""
        rows, hold, holding = self.config.rows, self.records.payload.hold, self.holding
        taken, address = Signal(range(rows + 1)), Signal.like(hold.base)
        """Slots of the RUN whose index was for an element, and the next one's."""
        here = Signal.like(hold.base)
        offered = self.valid & hold.takes & (taken != rows)
        m.d.comb += [
            here.eq(Mux(taken == 0, hold.base, address)),
            self.index_address.eq(self.slot_address),
            self.mute.eq(hold.takes & ~hold.held),
            holding.held.eq(hold.held),
            holding.offered.eq(offered),
            holding.swap.eq(self.end & hold.takes),
        ]
        with m.If(hold.takes):
            m.d.comb += self.index_address.eq(Cat(here, self.slot_address[-1]))
        with m.If(offered):
            m.d.sync += [taken.eq(taken + 1), address.eq(here + hold.step)]
        with m.If(self.end):
            m.d.sync += taken.eq(0)
        # After reset nothing is known of what elements have taken: first they swap, then each row
        # takes the index of a bubble, which is 0.
        with m.If(flush):
            m.d.sync += self.to_flush.eq(self.to_flush - 1)
            edge = (self.to_flush == 0) | (self.to_flush == rows + 1)
            m.d.comb += [holding.held.eq(0), holding.offered.eq(~edge), holding.swap.eq(edge)]
