"""The pruner: a tensor of masters becomes compact weights, along both axes in one pass.

                          ┌─► Square (columns) ─► TopN ─► Slots ─► forward ──┐
PRUNE ─► SquareReader ────┤                                                  ├─► write port
                          └─► Square (rows) ────► TopN ─► Slots ─► backward ─┘
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.maps import INDEX_BITS
from ..layouts.engines import PRUNE
from ..layouts.tensor import at_work
from ..lib.connect import connect_checked
from ..tensor.share import PortShare
from .kept_reader import KeptReader
from .places import SPOT, Places
from .reader import SquareReader
from .slots import SLOT, Slots
from .square import PIECE, Square
from .top_n import TopN

MOST = 7
"""Squares of a way that have begun and whose slots are not all written, more than there can be."""


class Way(wiring.Component):
    """Squares to slots along one axis.

    Latency: some M + 10 cycles from a square's last group to its first slot. Throughput: an
    element a cycle. Stall rule: takes the groups of a square that was `begun`, and begins one only
    if it is `free`.

    Members
    -------
    n, held, begun, free, i : as of `Square` and `TopN`
    o : Out stream of SLOT
    """

    def __init__(self, config: Config, by_rows: bool):
        self.config, self.by_rows = config, by_rows
        super().__init__(
            {
                "n": In(range(config.group + 1)),
                "held": In(1),
                "begun": In(1),
                "free": Out(1),
                "i": In(wiring.Signature({"valid": Out(1), "piece": Out(PIECE(config))})),
                "o": Out(stream.Signature(SLOT(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.square = square = Square(self.config, self.by_rows)
        m.submodules.top_n = top_n = TopN(self.config.group)
        m.submodules.slots = slots = Slots(self.config)
        connect_checked(m, wiring.flipped(self.i), square.i)
        connect_checked(m, square.o, top_n.i)
        connect_checked(m, top_n.o, slots.i)
        connect_checked(m, slots.o, wiring.flipped(self.o))
        m.d.comb += [
            square.held.eq(self.held),
            square.begun.eq(self.begun),
            self.free.eq(square.free),
            top_n.n.eq(self.n),
            slots.n.eq(self.n),
        ]
        return m


class Pruner(wiring.Component):
    """Carry out one PRUNE after another.

    Latency: some M**2 + 3 M + 20 cycles from a PRUNE to its end, if it has one square. Throughput:
    M x M weights in as many cycles. Stall rule: waits for the memory, and for `grant` to write.

    Members
    -------
    prunes : In stream of layouts.PRUNE
    port : Out(layouts.READ_PORT)
    write : Out(layouts.WRITE_PORT)
    grant : In(1), nobody else writes in this cycle
    waits : Out(1), for the memory to take a read or a write
    wants : Out(1), to write in this cycle
    finished : Out(1), all has been written
    fault : Out(1), pulses: the tensor's words have ended, or a write was outside and is dropped
    """

    def __init__(self, config: Config):
        self.config = config
        self.asked = Signal(PRUNE(config), reset_less=True)
        self.begin, self.held = Signal(), Signal()
        """The PRUNE that is `asked` for begins; what is to be written waits for `grant`."""
        self.free = Signal()
        """There is room for a square."""
        self.ended, self.beyond = Signal(2), Signal()
        """Of each way, a square's last slot has been written; one is dropped."""
        super().__init__(
            {
                "prunes": In(stream.Signature(PRUNE(config))),
                **at_work(config),
                "wants": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, asked = self.config, self.asked
        m.submodules.squares = squares = SquareReader(config)
        m.submodules.kept = kept = KeptReader(config)
        m.submodules.share = share = PortShare(config)
        m.submodules.forward = forward = Way(config, by_rows=False)
        m.submodules.backward = backward = Way(config, by_rows=True)
        connect_checked(m, share.port, wiring.flipped(self.port))
        reader = self._reader(m, squares, kept, share)
        active, used = Signal(), Cat(1, asked.across)
        under_way = Signal(2)
        for n, way in enumerate((forward, backward)):
            held, begins = Signal(range(MOST + 1), name=f"squares_{n}"), reader["begun"] & used[n]
            m.d.sync += held.eq(held + begins - self.ended[n])
            m.d.comb += [
                under_way[n].eq(held != 0),
                way.n.eq(asked.kept),
                way.held.eq(asked.held),
                way.begun.eq(begins),
                way.i.valid.eq(reader["valid"] & used[n]),
                way.i.piece.eq(reader["piece"]),
            ]
        self._write(m, forward, backward)
        m.d.comb += [
            self.free.eq(forward.free & (backward.free | ~asked.across)),
            self.fault.eq(reader["outside"] | self.beyond),
            self.waits.eq((self.port.valid & ~self.port.ready) | self.held),
            self.prunes.ready.eq(~active),
            self.finished.eq(active & ~self.begin & reader["done"] & ~under_way.any()),
        ]
        m.d.sync += self.begin.eq(self.prunes.valid & ~active)
        with m.If(self.prunes.valid & ~active):
            m.d.sync += [active.eq(1), asked.eq(self.prunes.payload)]
        with m.Elif(self.finished):
            m.d.sync += active.eq(0)
        return m

    def _reader(self, m: Module, squares: SquareReader, kept: KeptReader, share: PortShare) -> dict:
        """What one of the readers gives: of whole tensors, or of weights that are kept."""
        for reader, mine, port in (
            (squares, ~self.asked.held, share.readers[0]),
            (kept, self.asked.held, share.readers[1]),
        ):
            connect_checked(m, reader.port, port)
            m.d.comb += [
                reader.begin.eq(self.begin & mine),
                reader.prune.eq(self.asked),
                reader.free.eq(self.free),
            ]
        given = {
            name: Mux(self.asked.held, getattr(kept, name), getattr(squares, name))
            for name in ("begun", "done", "outside")
        }
        piece = Signal.like(squares.o.piece)
        m.d.comb += piece.eq(Mux(self.asked.held, kept.o.piece, squares.o.piece))
        valid = Mux(self.asked.held, kept.o.valid, squares.o.valid)
        return given | {"valid": valid, "piece": piece}

    def _write(self, m: Module, forward: Way, backward: Way):
        """Slots to their places, by turns: the values of one, and then its indices."""
        config, asked, port = self.config, self.asked, self.write
        chosen, last_chosen, of_indices = Signal(), Signal(), Signal()
        pick = backward.o.valid & (~forward.o.valid | ~last_chosen)
        m.d.comb += chosen.eq(Mux(of_indices, last_chosen, pick))
        spots, slots = [], []
        for n, way in enumerate((forward, backward)):
            name = ("forward", "backward")[n]
            m.submodules[f"{name}_places"] = places = Places(config, backward=bool(n))
            taken = way.o.valid & way.o.ready
            m.d.comb += [
                places.start.eq(self.begin),
                places.payloads.address.eq(asked.backward if n else 0),
                places.payloads.indices.eq(asked[f"{name}_indices"]),
                places.payloads.pitch.eq(asked[f"{name}_pitch"]),
                places.n.eq(asked.kept),
                places.squares.eq(asked.outputs),
                places.taken.eq(taken),
                places.last.eq(way.o.payload.last),
                self.ended[n].eq(taken & way.o.payload.last),
            ]
            spots.append(Mux(of_indices, places.indices, places.values))
            slots.append(way.o.payload.as_value())
        spot, slot = Signal(SPOT(config)), Signal(SLOT(config))
        valid, inside, goes = Signal(), Signal(), Signal()
        m.d.comb += [
            spot.eq(Mux(chosen, spots[1], spots[0])),
            slot.eq(Mux(chosen, slots[1], slots[0])),
            valid.eq(forward.o.valid | backward.o.valid),
            inside.eq(spot.word < asked.region.count),
            goes.eq(valid & (self.grant | ~inside)),
            self.held.eq(valid & ~goes),
            self.wants.eq(valid & inside),
            self.beyond.eq(goes & ~inside),
            forward.o.ready.eq(goes & of_indices & ~chosen),
            backward.o.ready.eq(goes & of_indices & chosen),
            *(address.eq(asked.region.address + spot.word) for address in port.address),
        ]
        with m.If(goes):
            m.d.sync += [of_indices.eq(~of_indices), last_chosen.eq(chosen)]
        # The indices are as many bytes as a unit has, and lie in one of the group's.
        size, unit = 8 * config.group_bytes, INDEX_BITS * config.group
        units, parts = size // unit, unit // (8 * config.write_bytes)
        here = Mux(of_indices, 1 << spot.unit, (1 << units) - 1)
        group = Mux(of_indices, slot.indices.as_value().replicate(units), slot.values)
        enables = Cat(here[n].replicate(parts) for n in range(units))
        for lane in range(config.lanes):
            writes = goes & inside & (spot.lane == lane)
            m.d.comb += [
                port.data.word_select(lane, size).eq(group),
                port.enable.word_select(lane, units * parts).eq(Mux(writes, enables, 0)),
            ]
