"""The serial line: bytes at rates that are off, glitches, breaks, bytes without a stop bit."""

import random

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge, Timer

from ...hw.config import Config
from ...hw.link.uart import FRAME_BITS, Receiver, Transmitter, tolerance
from .common import Source, generator, start, until

DIVISORS = (4, 5, 25)
"""The smallest there is, an odd one, and that of 1 Mbaud at 25 MHz."""
CYCLE = 10_000
"""Picoseconds."""
NEAR = 0.001
"""So near to the limits the other end's bits are: still right on this side of them."""
BEYOND = 0.0053
"""So far beyond them, some byte must be wrong: the limits are no lower than they need be."""


class Uart(wiring.Component):
    """The device under test: a receiver and a transmitter of each divisor; `config` has no part."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "rx": In(1).array(len(DIVISORS)),
                "valid": Out(1).array(len(DIVISORS)),
                "data": Out(8).array(len(DIVISORS)),
                "i": In(stream.Signature(8)).array(len(DIVISORS)),
                "tx": Out(1).array(len(DIVISORS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for k, divisor in enumerate(DIVISORS):
            m.submodules[f"receiver_{divisor}"] = receiver = Receiver(divisor)
            m.submodules[f"transmitter_{divisor}"] = transmitter = Transmitter(divisor)
            wiring.connect(m, wiring.flipped(self.i[k]), transmitter.i)
            m.d.comb += [
                receiver.rx.eq(self.rx[k]),
                self.valid[k].eq(receiver.valid),
                self.data[k].eq(receiver.data),
                self.tx[k].eq(transmitter.tx),
            ]
        return m


class Line:
    """The receiver's line, driven at a rate of its own, and the bytes that the receiver saw."""

    def __init__(self, dut, k: int):
        self.dut = dut
        self.divisor = DIVISORS[k]
        self.received: list[int] = []
        self.error = 0.0
        """Share by which a bit is longer than the receiver's."""
        self._rx = getattr(dut, f"rx__{k}")
        self._valid, self._data = (getattr(dut, f"{name}__{k}") for name in ("valid", "data"))
        cocotb.start_soon(self._watch())

    async def level(self, value: int, bits: float):
        self._rx.value = value
        await Timer(round(bits * self.divisor * CYCLE * (1 + self.error)), "ps")

    async def byte(self, value: int, stop: int = 1):
        await self.level(0, 1)
        for i in range(8):
            await self.level(value >> i & 1, 1)
        await self.level(stop, 1)

    async def pause(self, bits: float):
        """Idle, and not in step with the receiver's clock."""
        await self.level(1, bits)
        await Timer(random.randrange(CYCLE), "ps")

    async def expect(self, values: list[int], what: str):
        await self.level(1, 2)
        assert self.received == values, f"{what}: {self.received[-4:]}, not {values[-4:]}"
        self.received.clear()

    async def _watch(self):
        while True:
            await RisingEdge(self.dut.clk)
            if int(self._valid.value):
                self.received.append(int(self._data.value))


async def opened(dut, k: int) -> Line:
    generator()
    for i in range(len(DIVISORS)):
        getattr(dut, f"rx__{i}").value = 1
    await start(dut, *(f"i__{i}__valid" for i in range(len(DIVISORS))))
    line = Line(dut, k)
    await line.pause(2)
    return line


@cocotb.test()
@cocotb.parametrize(k=range(len(DIVISORS)))
async def bytes_at_rates_that_are_off(dut, k):
    """Byte after byte with one stop bit, or with pauses, from an end that is too slow or fast."""
    line = await opened(dut, k)
    shorter, longer = tolerance(line.divisor)
    for error in (0, longer - NEAR, NEAR - shorter, longer / 2, -shorter / 2):
        line.error = error
        for pause in (0, 3):
            values = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *random.choices(range(256), k=60)]
            for value in values:
                await line.byte(value)
                if pause:
                    await line.pause(random.random() * pause)
            await line.expect(values, f"{error:+.2%}")


@cocotb.test()
@cocotb.parametrize(k=range(len(DIVISORS)))
async def beyond_the_limits(dut, k):
    """The tolerance that is promised is all there is."""
    line = await opened(dut, k)
    shorter, longer = tolerance(line.divisor)
    for error in (longer + BEYOND, -shorter - BEYOND):
        line.error = error
        values = random.choices(range(128), k=100)
        for value in values:
            await line.byte(value)
        await line.pause(2 * FRAME_BITS)
        assert line.received != values, f"{error:+.2%} is read too"
        line.received.clear()


@cocotb.test()
@cocotb.parametrize(k=range(len(DIVISORS)))
async def what_is_no_byte(dut, k):
    """Glitches, breaks and bytes without a stop bit are nothing, and cost no byte after them."""
    line = await opened(dut, k)
    # What a start bit is told by: it lasts until its middle, seen a cycle late at most.
    longest = line.divisor // 2 - 1
    for _ in range(20):
        value = random.randrange(256)
        match random.randrange(3):
            case 0:
                await line.level(0, random.uniform(0.3, longest) / line.divisor)
            case 1:
                await line.byte(random.randrange(256), stop=0)
            case 2:
                await line.level(0, random.uniform(FRAME_BITS, 5 * FRAME_BITS))
        # A byte without a stop bit may end in a start bit's level: a frame's time clears that.
        await line.pause(FRAME_BITS + 1)
        await line.expect([], "no byte")
        await line.byte(value)
        await line.expect([value], "the byte after it")


@cocotb.test()
@cocotb.parametrize(k=range(len(DIVISORS)))
async def transmitted_bytes(dut, k):
    """Every bit lasts `divisor` cycles, only the stop bit longer; bytes wait for the line."""
    await opened(dut, k)
    divisor = DIVISORS[k]
    source = Source(dut, f"i__{k}", pause=0)
    tx = getattr(dut, f"tx__{k}")
    values = [0x00, 0xFF, 0x55, *random.choices(range(256), k=40)]
    starts: list[int] = []
    got: list[int] = []
    cycle = 0

    async def level(cycles: int) -> int:
        """The level over `cycles` cycles, in which it does not change."""
        nonlocal cycle
        value = int(tx.value)
        for _ in range(cycles):
            assert int(tx.value) == value, f"the level changed within a bit, cycle {cycle}"
            await RisingEdge(dut.clk)
            cycle += 1
        return value

    async def watch():
        while True:
            while int(tx.value):
                await level(1)
            starts.append(cycle)
            bits = [await level(divisor) for _ in range(FRAME_BITS)]
            assert (bits[0], bits[-1]) == (0, 1), "start and stop bit"
            got.append(sum(bit << i for i, bit in enumerate(bits[1:-1])))

    cocotb.start_soon(watch())
    source.queue.extend(values[:20])
    room = FRAME_BITS * divisor + 1
    await until(dut.clk, lambda: len(got) == 20, 21 * room, "bytes without pauses")
    gaps = {b - a for a, b in zip(starts, starts[1:], strict=False)}
    assert gaps == {room}, gaps
    source.pause = 1 - 1 / room
    source.queue.extend(values[20:])
    await until(dut.clk, lambda: len(got) == len(values), 100 * room, "bytes with pauses")
    assert got == values
