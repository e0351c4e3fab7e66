"""Side operands at a column: windows of addends and masks wait, and leave row by row.

    window ─► [queue] ─► one lane's ─► decode ─► addend of the next row
                         (RAW: limb after limb)

Rows of a tile drain from its last to its first, so the last lane's row is the first of its window.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith.operand import OperandDecoder
from ..config import Config
from ..formats import STEP_LOG2
from ..layouts.output import SIDE_FREED, SIDE_ROWS
from ..lib.fifo import Fifo
from ..lib.pipeline import register


def ADDEND(config: Config) -> data.StructLayout:
    """An addend as it was read: all limbs of a `raw` one, or an element in the lowest bits of the
    last limb."""
    return data.StructLayout({"raw": 1, "limbs": data.ArrayLayout(32, config.raw_limbs)})


class Addends(wiring.Component):
    """The addends of a column's sums, as they were read.

    Latency: 2 cycles. Throughput: an addend a cycle; of RAW ones, one in as many cycles as it has
    limbs. Stall rule: holds `config.side_depth` windows, of RAW ones limbs of windows; whoever
    fills it counts them.

    Members
    -------
    valid : In(1), a window's addends, or a limb of each if they are `raw` : In(1)
    values : In(lanes x 32), of each lane's row
    o : Out stream of ADDEND
    freed : Out, how many of what came are used up
    """

    def __init__(self, config: Config):
        self.config = config
        self.there = Signal(range(config.side_depth + 1))
        super().__init__(
            {
                "valid": In(1),
                "raw": In(1),
                "values": In(data.ArrayLayout(32, config.lanes)),
                "o": Out(stream.Signature(ADDEND(config))),
                "freed": Out(range(config.raw_limbs + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, limbs = self.config, self.config.raw_limbs
        held = data.StructLayout({"raw": 1, "values": data.ArrayLayout(32, config.lanes)})
        m.submodules.queue = queue = Memory(shape=held, depth=config.side_depth, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        # A window's limbs are gone through once for each lane.
        first = Signal(range(config.side_depth))
        limb, lane = Signal(range(4)), Signal(range(config.lanes), init=config.lanes - 1)
        take, whole = Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.valid),
            write.data.raw.eq(self.raw),
            write.data.values.eq(self.values),
            read.addr.eq(first + limb),
            take.eq((self.there > limb) & (~self.o.valid | self.o.ready)),
            whole.eq(take & (~read.data.raw | (limb == limbs - 1))),
        ]
        with m.If(whole & (lane == 0)):
            m.d.comb += self.freed.eq(Mux(read.data.raw, limbs, 1))
        m.d.sync += [
            write.addr.eq(write.addr + self.valid),
            first.eq(first + self.freed),
            self.there.eq(self.there + self.valid - self.freed),
        ]
        with m.If(take):
            m.d.sync += limb.eq(Mux(whole, 0, limb + 1))
        with m.If(whole):
            m.d.sync += lane.eq(Mux(lane == 0, config.lanes - 1, lane - 1))

        addend = Signal(ADDEND(config), reset_less=True)
        m.d.comb += self.o.payload.eq(addend)
        with m.If(take):
            value = read.data.values.as_value().word_select(lane, 32)
            m.d.sync += [
                addend.raw.eq(read.data.raw),
                addend.limbs.eq(Cat(addend.limbs.as_value()[32:], value)),
                self.o.valid.eq(whole),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class Masks(wiring.Component):
    """Whether the mask of a column's next row is zero.

    Latency: 1 cycle. Throughput: a row a cycle. Stall rule: as that of `Addends`.

    Members
    -------
    valid : In(1), a window's masks; `zeros` : In(lanes), of each lane's row
    o : Out stream of 1
    freed : Out(1), a window is used up
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "zeros": In(config.lanes),
                "o": Out(stream.Signature(1)),
                "freed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        m.submodules.queue = queue = Fifo(self.config.lanes, self.config.side_depth)
        lane = Signal(range(lanes), init=lanes - 1)
        taken = self.o.valid & self.o.ready
        m.d.comb += [
            queue.i.valid.eq(self.valid),
            queue.i.payload.eq(self.zeros),
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload.bit_select(lane, 1)),
            self.freed.eq(taken & (lane == 0)),
            queue.o.ready.eq(self.freed),
        ]
        with m.If(taken):
            m.d.sync += lane.eq(Mux(lane == 0, lanes - 1, lane - 1))
        return m


class SideOperands(wiring.Component):
    """The side operands of S columns whose sums have their turn one after the other.

    Latency and throughput: those of `Addends` and `Masks`; `zero` shows at once, `addend` a cycle
    later. One decoder serves all columns.

    Members
    -------
    side : S x In(layouts.SIDE_ROWS)
    turn : In, the column whose sum is next; `wants_addend`, `wants_mask` : In(1), what for
    there : Out(1), it has that
    taken_turn : In, the column whose sum is taken; `takes_addend`, `takes_mask` : In(1), and these
        of its operands with it
    zero : Out(1), the mask is
    addend : Out(signed(config.exact_bits)), in the unit of the sums, of the turn a cycle ago
    freed : Out(layouts.SIDE_FREED), of the last column, which is the last to use them
    nonfinite : Out(1), pulses: an addend was not finite, and counts as zero
    """

    def __init__(self, config: Config):
        self.config = config
        columns = config.columns_per_epilogue
        super().__init__(
            {
                "side": In(SIDE_ROWS(config)).array(columns),
                "turn": In(range(columns)),
                "wants_addend": In(1),
                "wants_mask": In(1),
                "there": Out(1),
                "taken_turn": In(range(columns)),
                "takes_addend": In(1),
                "takes_mask": In(1),
                "addend": Out(signed(config.exact_bits)),
                "zero": Out(1),
                "freed": Out(SIDE_FREED(config)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        addends, masks = [], []
        for c, port in enumerate(self.side):
            m.submodules[f"addends_{c}"] = addend = Addends(self.config)
            m.submodules[f"masks_{c}"] = mask = Masks(self.config)
            mine = self.taken_turn == c
            m.d.comb += [
                addend.valid.eq(port.addend),
                addend.raw.eq(port.raw),
                addend.values.eq(port.values),
                addend.o.ready.eq(mine & self.takes_addend),
                mask.valid.eq(port.mask),
                mask.zeros.eq(port.zeros),
                mask.o.ready.eq(mine & self.takes_mask),
            ]
            addends.append(addend)
            masks.append(mask)
        there = (Cat(one.o.valid for one in ones) for ones in (addends, masks))
        addend_there, mask_there = (all_.bit_select(self.turn, 1) for all_ in there)
        values = Cat(one.o.payload for one in addends)
        mine = values.word_select(self.taken_turn, ADDEND(self.config).size)
        held = register(m, "held", {"addend": mine, "taken": self.takes_addend})
        m.d.comb += [
            self.there.eq((addend_there | ~self.wants_addend) & (mask_there | ~self.wants_mask)),
            self.zero.eq(Cat(one.o.payload for one in masks).bit_select(self.taken_turn, 1)),
            self.freed.addends.eq(addends[-1].freed),
            self.freed.masks.eq(masks[-1].freed),
        ]
        self._decode(m, data.View(ADDEND(self.config), held["addend"]), held["taken"])
        return m

    def _decode(self, m: Module, held: data.View, taken: Signal):
        """An element as the integer that it is, which limbs are already."""
        format = self.config.format
        m.submodules.decoder = decoder = OperandDecoder(format)
        operand, element = decoder.operand, Signal(signed(32 * self.config.raw_limbs))
        m.d.comb += [
            decoder.raw.eq(held.limbs[-1]),
            element.eq(operand.value << (operand.step << STEP_LOG2) << -format.unit_log2),
            self.addend.eq(Mux(held.raw, held.limbs.as_value(), element)),
            self.nonfinite.eq(taken & ~held.raw & decoder.nonfinite),
        ]
