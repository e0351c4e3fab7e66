"""An asynchronous serial line: eight data bits, no parity, one stop bit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..config import ConfigError

FRAME_BITS = 10
PARTNER_ERROR = 0.02
"""Share by which the other end's rate may be off."""
PARTNER_DIVISOR = 16
"""Samples that an ordinary UART takes of a bit."""


def tolerance(divisor: int) -> tuple[float, float]:
    """Shares by which a sender's bits may be shorter, and longer, than the receiver's.

    A start bit is seen up to a cycle late; the last bit is sampled nine and a half bits after
    that, and must neither have ended by then (shorter) nor still be to come (longer).
    """
    middle = divisor // 2
    shorter = (divisor - middle - 1) / (FRAME_BITS * divisor)
    longer = middle / ((FRAME_BITS - 1) * divisor)
    return shorter, longer


def divisor(clock_hz: float, baud: float) -> int:
    """Clock cycles of a bit.

    Raises `ConfigError` if the clock cannot make the rate so well that both ends read each other
    while the other one's is off by `PARTNER_ERROR`.
    """
    cycles = round(clock_hz / baud)
    if cycles >= 4:
        rate = clock_hz / cycles / baud  # 1 if exact
        shorter, longer = tolerance(cycles)
        theirs = tolerance(PARTNER_DIVISOR)
        least = max((1 - shorter) * (1 + PARTNER_ERROR), (1 + PARTNER_ERROR) / (1 + theirs[1]))
        most = min((1 + longer) * (1 - PARTNER_ERROR), (1 - PARTNER_ERROR) / (1 - theirs[0]))
        if least <= rate <= most:
            return cycles
    raise ConfigError(
        f"a clock of {clock_hz:,.0f} Hz cannot make {baud:,} baud: choose a rate at most a "
        "quarter of the clock that divides it more evenly"
    )


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
