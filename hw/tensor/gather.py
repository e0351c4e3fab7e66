"""The gatherer: a group for each lane of a window, wherever they lie in tensor memory.

    groups ─► whose lane of the memory is free ─► read port ─► back to their lanes ─► write bus

Groups that lie in different lanes of the memory come in one cycle, others one after another.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..layouts.array import write_signature
from ..layouts.tensor import GATHERED, READ_PORT, TURNED
from ..lib.pipeline import delay
from .memory import TensorMemory


class Gatherer(wiring.Component):
    """Read what each of `i` asks for, and write it to the activations' buffer.

    Latency: 3 cycles. Throughput: one a cycle, if no two of its groups lie in one lane of the
    memory; else as many cycles as the most that do. Stall rule: waits for the memory alone.

    Members
    -------
    i : In stream of layouts.GATHERED
    port : Out(layouts.READ_PORT)
    write : Out, the write bus: a chunk is a window
    finished : Out(1), with what has `end`
    busy : Out(1), something is under way
    turned : Out(layouts.TURNED), for training: how the window is written
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(GATHERED(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "finished": Out(1),
                "busy": Out(1),
                **({"turned": Out(TURNED(config))} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, port, i = self.config, self.port, self.i
        lanes = range(config.lanes)
        asked, valid = Signal(GATHERED(config), reset_less=True), Signal()
        waiting, served = Signal(config.lanes), Signal(config.lanes)
        """Lanes of the window that have no group yet; those that are read for now."""
        taken, whole = Signal(), Signal()
        groups = asked.groups
        for lane in lanes:
            earlier = Cat(
                waiting[other] & (groups[other].lane == groups[lane].lane) for other in range(lane)
            )
            m.d.comb += served[lane].eq(waiting[lane] & ~earlier.any())
        m.d.comb += [
            port.valid.eq(valid & waiting.any()),
            taken.eq(valid & (port.ready | ~waiting.any())),
            whole.eq((waiting & ~served) == 0),
            i.ready.eq(~valid | (taken & whole)),
        ]
        for lane in lanes:
            # A lane that nobody wants is read where another one is.
            for other in reversed(lanes):
                with m.If(waiting[other]):
                    m.d.comb += port.address[lane].eq(groups[other].address)
            for other in reversed(lanes):
                with m.If(served[other] & (groups[other].lane == lane)):
                    m.d.comb += port.address[lane].eq(groups[other].address)
        with m.If(taken):
            m.d.sync += waiting.eq(waiting & ~served)
        with m.If(i.ready):
            m.d.sync += [
                valid.eq(i.valid),
                asked.eq(i.payload),
                waiting.eq(Cat(group.needed for group in i.payload.groups)),
            ]
        self._give(m, asked, taken, served, whole)
        m.d.comb += self.busy.eq(valid | self._late)
        return m

    def _give(self, m: Module, asked, taken, served, whole):
        """What was read, to the lanes it was read for, and out when the window is whole."""
        config, port = self.config, self.port
        token = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "served": config.lanes,
                    "from": data.ArrayLayout(range(config.lanes), config.lanes),
                    "whole": 1,
                    "address": 16,
                    "chunk": 8,
                    "end": 1,
                    **({"turned": TURNED(config)} if config.training else {}),
                }
            )
        )
        m.d.comb += [
            token.valid.eq(taken),
            token.served.eq(served),
            *(token["from"][n].eq(group.lane) for n, group in enumerate(asked.groups)),
            token.whole.eq(whole),
            token.address.eq(asked.address),
            token.chunk.eq(asked.chunk),
            token.end.eq(asked.end),
        ]
        if config.training:
            m.d.comb += token.turned.eq(asked.turned)
        here = delay(m, "fetched", token, TensorMemory.LATENCY)
        self._late = Signal()
        size = 8 * config.group_bytes
        window = []
        for lane in range(config.lanes):
            held = Signal(size, name=f"held_{lane}") if config.lanes > 1 else 0
            read = port.data.word_select(here["from"][lane], size)
            group = Signal(size, name=f"group_{lane}")
            m.d.comb += group.eq(Mux(here.served[lane], read, held))
            if config.lanes > 1:
                with m.If(here.valid):
                    m.d.sync += held.eq(Mux(here.whole, 0, group))
            window.append(group)
        under_way = Signal(range(TensorMemory.LATENCY + 1))
        m.d.sync += under_way.eq(under_way + taken - here.valid)
        m.d.comb += [
            self._late.eq(under_way != 0),
            self.write.valid.eq(here.valid & here.whole),
            self.write.target.eq(Target.ACTIVATIONS),
            self.write.address.eq(here.address),
            self.write.chunk.eq(here.chunk),
            self.write.data.eq(Cat(window)),
            self.finished.eq(self.write.valid & here.end),
        ]
        if config.training:
            m.d.comb += self.turned.eq(here.turned)
            for name in ("transposed", "grouped"):
                m.d.comb += self.turned[name].eq(self.write.valid & here.turned[name])
