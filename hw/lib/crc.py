"""CRC-16/CCITT-FALSE, one halfword a cycle: what guards the headers of commands and responses."""

from amaranth import Cat, Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out


class HeaderCrc(wiring.Component):
    """The running CRC of a header's halfwords, the low byte of each first.

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
        crc = CRC16_IBM_3740(data_width=16).create()
        # Its own `start` may come with data, which takes a multiplexer before every gate.
        m.submodules.crc = ResetInserter(self.clear)(crc)
        m.d.comb += [
            crc.valid.eq(self.valid),
            crc.data.eq(Cat(self.halfword[8:], self.halfword[:8])),
            self.crc.eq(crc.crc),
        ]
        return m
