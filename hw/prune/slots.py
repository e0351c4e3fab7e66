"""What is kept of a square's lines becomes slots: of each line one element, and its index."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import Narrow
from ..config import Config
from ..isa.maps import INDEX_BITS
from ..lib.pipeline import delay
from .square import AHEAD, ELEMENT


def SLOT(config: Config) -> data.StructLayout:
    """An element of each of M lines, and its place in it; `last` of a square."""
    lines = config.group
    return data.StructLayout(
        {
            "values": data.ArrayLayout(config.format.bits, lines),
            "indices": data.ArrayLayout(INDEX_BITS, lines),
            "last": 1,
        }
    )


class Slots(wiring.Component):
    """Round what is kept, and gather the first ones of all M lines, then the second ones.

    Latency: 5 cycles from a square's last element to its first slot. Throughput: an element and a
    slot a cycle. Stall rule: takes the first element of a square only while one square at most is
    held, and all others without delay.

    Members
    -------
    n : In(range(1, M + 1)), elements of a line, the same while any square is held
    i : In stream of ELEMENT
    o : Out stream of SLOT
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "n": In(range(config.group + 1)),
                "i": In(stream.Signature(ELEMENT(config.group))),
                "o": Out(stream.Signature(SLOT(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, size, given = self.config, self.config.group, self.i.payload
        m.submodules.narrow = narrow = Narrow(config.format)
        line, number, into = Signal(range(size)), Signal(range(size)), Signal()
        """Of the element that comes: its line, its number there, and which of two squares."""
        taken, full, out = Signal(range(AHEAD + 1)), Signal(range(AHEAD + 1)), Signal()
        comes = self.i.valid & self.i.ready
        first = (line == 0) & (number == 0)
        whole = given.last & (line == size - 1)
        m.d.comb += [
            self.i.ready.eq(~first | (taken != AHEAD)),
            narrow.i.eq(given.value),
        ]
        with m.If(comes):
            m.d.sync += [
                number.eq(Mux(given.last, 0, number + 1)),
                line.eq(line + given.last),
                into.eq(into ^ whole),
            ]
        token = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "line": line.shape(),
                    "address": data.StructLayout({"number": number.shape(), "square": 1}),
                    "index": given.index.shape(),
                    "whole": 1,
                }
            )
        )
        m.d.comb += [
            token.valid.eq(comes),
            token.line.eq(line),
            token.address.number.eq(number),
            token.address.square.eq(into),
            token.index.eq(given.index),
            token.whole.eq(whole),
        ]
        token = delay(m, "token", token, narrow.latency)
        slot, at = Signal(SLOT(config)), Signal(range(size))
        last = at + 1 == self.n
        goes = (full != 0) & (~self.o.valid | self.o.ready)
        leaves, written = goes & last, token.valid & token.whole
        m.d.sync += [
            taken.eq(taken + (comes & first) - leaves),
            full.eq(full + written - leaves),
            out.eq(out ^ leaves),
        ]
        m.d.comb += slot.last.eq(last)
        for n in range(size):
            shape = data.StructLayout({"value": config.format.bits, "index": config.index_bits})
            bank = memory.Memory(shape=shape, depth=AHEAD * size, init=[])
            m.submodules[f"line_{n}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(token.valid & (token.line == n)),
                write.addr.eq(token.address),
                write.data.value.eq(narrow.o),
                write.data.index.eq(token.index),
                read.addr.eq(Cat(at, out)),
                slot.values[n].eq(read.data.value),
                slot.indices[n].eq(read.data.index),
            ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(goes), self.o.payload.eq(slot)]
        with m.If(goes):
            m.d.sync += at.eq(Mux(last, 0, at + 1))
        return m
