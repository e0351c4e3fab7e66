"""Registers and lanes of the vector unit: a beat of V words in, through the lanes, and back.

a, b ─► [registers] ─► exchange ─► operands ─► V lanes ─┬─► [registers]
                    loaded ────────►                    └─► stored
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.bank import Bank
from ..config import Config
from ..isa.vector import BEATS, COMPARISONS, REGISTERS, Op
from ..lib.library import Library, instantiate
from ..lib.pipeline import delay, register
from .lane import Lane
from .writer import RESULTS


def BEAT(config: Config) -> data.StructLayout:
    """A beat of an operation: its number in the registers, where its operands come from and where
    its result goes: it is `stored`, or kept in a register, or both. Element i meets element
    ``i ^ d`` of `b`, which is ``1 << exchange - 1``."""
    return data.StructLayout(
        {
            "op": Op,
            "beat": range(BEATS),
            "target": range(REGISTERS),
            "a": range(REGISTERS),
            "b": range(REGISTERS),
            "loads": 1,
            "stores": 1,
            "keeps": 1,
            "constant": 1,
            "value": 32,
            "exchange": range(config.group.bit_length()),
        }
    )


GOING = data.StructLayout(
    {
        "valid": 1,
        "op": Op,
        "beat": range(BEATS),
        "target": range(REGISTERS),
        "stores": 1,
        "keeps": 1,
    }
)
"""What goes along with a beat through the lanes."""


class Datapath(wiring.Component):
    """Carry out beats.

    Latency: `latency` cycles from a beat to its result, which its register then has. Throughput: a
    beat a cycle, no stalls. A register must not be read in the cycle in which it is written.

    Members
    -------
    valid, beat : In(1), In(BEAT)
    loaded : In, V words: operand `a` of a beat that loads, in the same cycle
    stored : Out({valid, beat}), the result of a beat that stores
    """

    READ = 2
    """Cycles from a register's address to a lane's input."""
    latency = READ + Lane.latency

    def __init__(self, config: Config, library: Library | None = None):
        self.config, self.library = config, library
        results = wiring.Signature({"valid": Out(1), "beat": Out(RESULTS(config))})
        super().__init__(
            {
                "valid": In(1),
                "beat": In(BEAT(config)),
                "loaded": In(data.ArrayLayout(32, config.vector_lanes)),
                "stored": Out(results),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width, beat = self.config.vector_lanes, self.beat
        words, depth = 32 * width, REGISTERS * BEATS
        a, b = (
            instantiate(m, f"registers_{n}", Bank, words, depth, library=self.library) for n in "ab"
        )
        m.submodules.masks = masks = Bank(width, BEATS)
        # An exchange over more than a beat's elements is one of beats.
        across = Cat(beat.exchange == n + 1 for n in range(self.config.group.bit_length() - 1))
        within = width.bit_length() - 1
        other = beat.beat ^ across[within:] if len(across) > within else beat.beat
        m.d.comb += [
            a.read_address.eq(Cat(beat.beat, beat.a)),
            b.read_address.eq(Cat(other[: len(beat.beat)], beat.b)),
            masks.read_address.eq(beat.beat),
            *(bank.read_en.eq(1) for bank in (a, b, masks)),
        ]
        token = Signal(data.StructLayout({"valid": 1, "beat": BEAT(self.config)}))
        m.d.comb += [token.valid.eq(self.valid), token.beat.eq(beat)]
        loaded = register(m, "loaded", {"words": self.loaded.as_value()})["words"]
        read = delay(m, "read", token, 1)
        operands = {
            "a": Mux(read.beat.loads, loaded, a.read_data),
            "b": self._other(m, read.beat, b.read_data),
            "mask": masks.read_data,
        }
        operands = register(m, "operand", operands)
        here = delay(m, "here", read, 1)
        lanes = []
        for n in range(width):
            lane = instantiate(m, f"lane_{n}", Lane, library=self.library)
            m.d.comb += [
                lane.op.eq(here.beat.op),
                lane.a.eq(operands["a"].word_select(n, 32)),
                lane.b.eq(operands["b"].word_select(n, 32)),
                lane.mask.eq(operands["mask"][n]),
            ]
            lanes.append(lane)
        going = Signal(GOING)
        m.d.comb += [going.valid.eq(here.valid)]
        m.d.comb += [going[name].eq(here.beat[name]) for name in GOING.members if name != "valid"]
        compared = delay(m, "compared", going, Lane.COMPARED)
        done = delay(m, "done", compared, Lane.latency - Lane.COMPARED)
        result = Cat(lane.data for lane in lanes)
        compares = Cat(compared.op == op for op in COMPARISONS).any()
        m.d.comb += [
            masks.write_en.eq(compared.valid & compares),
            masks.write_address.eq(compared.beat),
            masks.write_data.eq(Cat(lane.holds for lane in lanes)),
            *(bank.write_en.eq(done.valid & done.keeps) for bank in (a, b)),
            *(bank.write_address.eq(Cat(done.beat, done.target)) for bank in (a, b)),
            *(bank.write_data.eq(result) for bank in (a, b)),
            self.stored.valid.eq(done.valid & done.stores),
            self.stored.beat.words.eq(result),
            self.stored.beat.overflow.eq(Cat(lane.overflow for lane in lanes).any()),
            self.stored.beat.saturated.eq(Cat(lane.saturated for lane in lanes).any()),
        ]
        return m

    def _other(self, m: Module, beat, words) -> Signal:
        """Operand b: a constant, or a beat whose elements have changed places."""
        width = self.config.vector_lanes
        met = Signal(32 * width)
        m.d.comb += met.eq(words)
        with m.Switch(beat.exchange):
            for n in range(width.bit_length() - 1):
                with m.Case(n + 1):
                    changed = (words.word_select(lane ^ 1 << n, 32) for lane in range(width))
                    m.d.comb += met.eq(Cat(changed))
        return Mux(beat.constant, beat.value.replicate(width), met)
