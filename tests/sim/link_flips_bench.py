"""A bit flips in a store of the link: a request is dropped, a response does not pass the FCS."""

import cocotb

from heddle.hw.isa.link_protocol import FCS_BYTES, HEAD_BYTES, Kind, decode
from heddle.sim.testbenches.link_bench import opened

REQUEST, RESPONSE = 0, 1 << 7


def flip(store: int, address: int, bit: int) -> int:
    """What the port `mutant` must be for the byte at `address` to be stored with a wrong bit."""
    return store | address + 1 << 3 | bit


@cocotb.test()
async def a_request_that_is_stored_wrongly(dut):
    dut.mutant.value = 0
    bench = await opened(dut)
    for address in range(HEAD_BYTES):
        for bit in range(8):
            frame = bench.frame(Kind.READ, b"\4\0")
            dut.mutant.value = flip(REQUEST, address, bit)
            await bench.send(frame)
            assert await bench.quiet() == b"" and int(dut.error.value)
            assert bench.registers.reads == bench.model.device.reads
            dut.mutant.value = 0
            assert await bench.same(frame)


@cocotb.test()
async def a_response_that_is_stored_wrongly(dut):
    dut.mutant.value = 0
    bench = await opened(dut)
    for address in range(HEAD_BYTES + FCS_BYTES):
        for bit in range(8):
            frame = bench.frame(Kind.READ, b"\4\0")
            dut.mutant.value = flip(RESPONSE, address, bit)
            await bench.send(frame)
            wrong = await bench.quiet()
            assert wrong and decode(wrong[1:-1]) is None
            dut.mutant.value = 0
            # It stays wrong, and the request is not executed again: the host gives up.
            await bench.send(frame)
            assert await bench.quiet() == wrong
            bench.model.feed(frame)
            assert bench.registers.reads == bench.model.device.reads
            assert await bench.same(bench.frame(Kind.READ, b"\4\0"))
