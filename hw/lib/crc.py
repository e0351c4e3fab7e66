"""CRC-16/CCITT-FALSE, one halfword a cycle: what guards the headers of commands and responses."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..isa.commands import CRC_INITIAL, CRC_POLYNOMIAL


def crc16_next(crc: Value, halfword: Value) -> Value:
    """The CRC after two more bytes, the low one first, each from its most significant bit."""
    state = [crc[i] for i in range(16)]
    for byte in (halfword[:8], halfword[8:16]):
        for i in reversed(range(8)):
            feedback = state[15] ^ byte[i]
            state = [feedback] + [
                state[j - 1] ^ feedback if CRC_POLYNOMIAL >> j & 1 else state[j - 1]
                for j in range(1, 16)
            ]
    return Cat(state)


class HeaderCrc(wiring.Component):
    """The running CRC of a header's halfwords.

    Latency: `crc` covers a halfword in the cycle after it. Throughput: one a cycle, no stalls.

    Members
    -------
    clear : In(1), begin a new header
    valid, halfword : In, the next halfword
    crc : Out(16)
    """

    def __init__(self):
        super().__init__({"clear": In(1), "valid": In(1), "halfword": In(16), "crc": Out(16)})

    def elaborate(self, platform):
        m = Module()
        state = Signal(16, init=CRC_INITIAL)
        m.d.comb += self.crc.eq(state)
        with m.If(self.clear):
            m.d.sync += state.eq(CRC_INITIAL)
        with m.Elif(self.valid):
            m.d.sync += state.eq(crc16_next(state, self.halfword))
        return m
