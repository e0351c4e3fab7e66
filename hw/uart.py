"""An asynchronous serial line: eight data bits, no parity, one stop bit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .config import ConfigError

FRAME_BITS = 10
MOST_ERROR = 0.025
"""Share by which a bit may be off: half a bit in ten, shared by both ends, with room to spare."""


def divisor(clock_hz: float, baud: float) -> int:
    """Clock cycles of a bit. Raises `ConfigError` if the clock cannot make the rate."""
    cycles = round(clock_hz / baud)
    if cycles < 4 or abs(clock_hz / cycles / baud - 1) > MOST_ERROR:
        raise ConfigError(
            f"a clock of {clock_hz:,.0f} Hz cannot make {baud:,} baud: choose a rate at most a "
            "quarter of the clock that divides it more evenly"
        )
    return cycles


class Receiver(wiring.Component):
    """Bytes from the line, each bit sampled in its middle.

    Latency: a byte is there in the middle of its stop bit. It is offered for one cycle: there is
    no waiting. A byte without a stop bit is dropped.

    Members
    -------
    rx : In(1), asynchronous
    valid, data : Out, a byte
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"rx": In(1), "valid": Out(1), "data": Out(8)})

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, rx, init=1)
        # Half a bit leads into the start bit's middle, whole ones to those of the other nine.
        timer = Signal(range(self.divisor))
        bits = Signal(range(FRAME_BITS + 1))
        idle = Signal()
        m.d.sync += idle.eq(rx)
        sample = (timer == 0) & (bits != 0)
        m.d.comb += self.valid.eq(sample & (bits == 1) & rx)
        with m.If(bits == 0):
            with m.If(idle & ~rx):
                m.d.sync += [bits.eq(FRAME_BITS), timer.eq(self.divisor // 2 - 1)]
        with m.Elif(~sample):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), bits.eq(bits - 1)]
            with m.If((bits == FRAME_BITS) & rx):
                m.d.sync += bits.eq(0)  # too short for a start bit
            with m.Elif(bits != 1):
                m.d.sync += self.data.eq(Cat(self.data[1:], rx))
        return m


class Transmitter(wiring.Component):
    """Bytes to the line.

    Latency: 1 cycle. Throughput: a byte every ten bits and a cycle. Stall rule: `i.ready` is low
    while a byte is on the line.

    Members
    -------
    i : stream of bytes
    tx : Out(1)
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        shift = Signal(FRAME_BITS - 1, init=-1)
        bits = Signal(range(FRAME_BITS + 1))
        m.d.comb += self.i.ready.eq(bits == 0)
        m.d.sync += self.tx.eq(shift[0])
        with m.If(bits == 0):
            with m.If(self.i.valid):
                m.d.sync += [
                    shift.eq(Cat(Const(0, 1), self.i.payload)),
                    bits.eq(FRAME_BITS),
                    timer.eq(self.divisor - 1),
                ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self.divisor - 1),
                bits.eq(bits - 1),
                shift.eq(Cat(shift[1:], Const(1, 1))),
            ]
        return m
