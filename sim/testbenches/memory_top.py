"""The accelerator beside a memory: products through AXI4, stalls and errors on its channels."""

import random
from functools import partial
from itertools import repeat

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiResp

from ...hw.formats import OutputFormat
from ...hw.isa import registers
from ...hw.isa.commands import Read, Write
from ...hw.isa.descriptors import Copy
from ...hw.isa.dma_registers import (
    ADDRESS,
    CONTROL_ABORT,
    CONTROL_READ,
    CONTROL_WRITE,
    STATUS_FULL,
    STATUS_READ_FAILED,
    STATUS_READING,
    STATUS_WRITE_FAILED,
)
from ...hw.isa.host_stream import packet_of
from ...sw.host.device import Device
from ...sw.transports import dma
from ...sw.transports.dma import DmaTransport, apart, buffer
from ..golden.device import ModelTransport
from .axi_rules import PAGE, AxiRules
from .common import configuration, generator, start
from .top import product

MEMORY = 1 << 18
SOURCE, TARGET = 0x0, MEMORY // 2
EXTERNAL = MEMORY - (1 << 16)
"""Where external memory begins."""
POLLS = 3000


class Bench:
    """A host that reaches registers and memory, and the model that gets the same packets."""

    def __init__(self, dut, config):
        self.config = config
        self.model = ModelTransport(config)
        self.axi = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=MEMORY)
        self.dut = dut
        self.bursts = AxiRules(dut, config).bursts

    def pauses(self):
        read, write = self.ram.read_if, self.ram.write_if
        for channel in (read.ar_channel, read.r_channel, write.aw_channel, write.w_channel):
            self._pause(channel)
        self._pause(write.b_channel)

    def _pause(self, channel):
        probability = random.choice((0, 0.3, 0.8))
        channel.set_pause_generator(random.random() < probability for _ in repeat(None))

    async def write(self, name: str, value: int):
        await self.axi.write(ADDRESS[name], value.to_bytes(4, "little"))

    async def read(self, name: str) -> int:
        return int.from_bytes((await self.axi.read(ADDRESS[name], 4)).data, "little")

    async def begin(self, packets: list[bytes], target: int, room: int, source: int | None = None):
        """Put packets into memory, at a random place if not at `source`; start both directions."""
        beat = self.config.stream_bytes
        data = buffer(packets, beat)
        # Anywhere on a beat, so that bursts meet 4 KiB boundaries in every phase.
        if source is None:
            source = SOURCE + beat * random.randrange((TARGET - len(data)) // beat)
        self.ram.write(source, data)
        for name, address, beats in (
            ("source", source, len(data) // beat),
            ("target", target, room),
        ):
            await self.write(f"{name}_low", address)
            await self.write(f"{name}_high", 0)
            await self.write(f"{name}_beats", beats)
        await self.write("control", CONTROL_READ | CONTROL_WRITE)

    async def exchange(
        self, packets: list[bytes], room: int, source: int | None = None, target: int | None = None
    ) -> list[bytes]:
        """The responses, collected through as many rooms as it takes."""
        before = await self.read("packets")
        if target is None:
            target = TARGET + self.config.stream_bytes * random.randrange(500)
        await self.begin(packets, target, room, source)
        got = b""
        for _ in range(POLLS):
            status = await self.read("status")
            assert not status & (STATUS_READ_FAILED | STATUS_WRITE_FAILED)
            done = await self.read("packets") - before == len(packets)
            if done or status & STATUS_FULL:
                beats = await self.read("written")
                got += self.ram.read(target, beats * self.config.stream_bytes)
                if done:
                    assert not status & STATUS_READING
                    return apart(got, self.config.stream_bytes)
                await self.write("control", CONTROL_WRITE)
        raise AssertionError("the responses did not come")


class Memory:
    """The bench as the driver's transport wants it (`dma.Memory`), from a thread of its own."""

    name, base, size = "bench", 0, 1 << 13

    def __init__(self, bench: Bench):
        self._ram = bench.ram
        self._read = resume(bench.axi.read)
        self._write = resume(bench.axi.write)

    def read_register(self, address: int) -> int:
        return int.from_bytes(self._read(address, 4).data, "little")

    def write_register(self, address: int, value: int) -> None:
        self._write(address, value.to_bytes(4, "little"))

    def write(self, offset: int, data: bytes) -> None:
        self._ram.write(self.base + offset, data)

    def read(self, offset: int, size: int) -> bytes:
        return self._ram.read(self.base + offset, size)

    def external(self, size: int) -> int:
        return EXTERNAL

    def close(self) -> None:
        pass


async def opened(dut) -> Bench:
    config = configuration()
    await start(dut)
    return Bench(dut, config)


@cocotb.test()
async def products(dut):
    """Whatever the stalls, the places in memory and the rooms: every byte is the model's."""
    bench = await opened(dut)
    rng = generator()
    for _ in range(8):
        bench.pauses()
        packets = product(bench.config, rng, OutputFormat.FP32, 1.0)
        expected = bench.model.exchange(packets)
        assert await bench.exchange(packets, random.choice((1, 7, 64, 1000))) == expected


@cocotb.test()
async def boundaries_of_pages(dut):
    """A burst ends where its page does, and the next one begins there."""
    bench = await opened(dut)
    rng = generator()
    beat = bench.config.stream_bytes
    for beats in (1, 2, 5):
        for bursts in bench.bursts.values():
            bursts.clear()
        packets = product(bench.config, rng, OutputFormat.FP32, 1.0)
        source, target = SOURCE + PAGE - beats * beat, TARGET + PAGE - beats * beat
        expected = bench.model.exchange(packets)
        assert await bench.exchange(packets, 1000, source, target) == expected
        assert bench.bursts["ar"][:1] == [(source, beats)]
        assert bench.bursts["ar"][1][0] == SOURCE + PAGE
        written = [at for at, _ in bench.bursts["aw"]]
        assert written[0] == target and TARGET + PAGE in written


@cocotb.test()
async def a_job_of_the_driver(dut):
    """Driver, transport and gateware together, in a memory that commands overflow."""
    bench = await opened(dut)
    rng = generator()
    x = rng.integers(-9, 10, (23, 50)).astype(float)
    w = rng.integers(-9, 10, (50, 11)) * (rng.random((50, 11)) < 0.4)
    dma.PAUSE = 0  # the simulation waits meanwhile

    def job(transport):
        with Device(transport) as device:
            assert device.config == Device(ModelTransport(bench.config)).config
            first = device.matmul(x, w.astype(float))[0]
            device.reset()
            return first, device.matmul(x[:5], w.astype(float))[0]

    bench.pauses()
    got = await bridge(lambda: job(DmaTransport(Memory(bench))))()
    for ours, golden in zip(got, job(ModelTransport(bench.config)), strict=True):
        assert np.array_equal(ours, golden)


@cocotb.test()
async def external_memory(dut):
    """Packets and copies on one bus: more of them than all queues hold, so that the commands behind
    them wait on the bus's other side; and nothing outside external memory is touched."""
    bench = await opened(dut)
    config, rng = bench.config, generator()
    if not config.external_bits:
        return
    beat, size = config.stream_bytes, 1 << config.external_bits
    await bench.write("external_low", EXTERNAL | 0xFFF)  # its lowest bits are not looked at
    around = rng.integers(0, 256, 2 * PAGE, np.uint8).tobytes()
    bench.ram.write(EXTERNAL - PAGE, around[:PAGE])
    bench.ram.write(EXTERNAL + size, around[PAGE:])
    words = config.tensor_words
    fill = rng.integers(0, 256, words * beat, np.uint8).tobytes()
    for _ in range(3):
        bench.pauses()
        packets = [
            packet_of(config, Write(0, words), fill),
            packet_of(config, Write(7, words, external=1), fill[::-1]),
        ]
        for number in range(30):
            copy = Copy(
                outward=int(rng.integers(2)),
                whole=1,
                external=int(rng.integers(size - 40 * beat)),
                row_bytes=int(rng.integers(1, 40 * beat)),
                tensor=int(rng.integers(words - 40)),
            )
            packets.append(packet_of(config, copy, tag=number))
        for at in range(0, size // beat - 99, 300):
            packets.append(packet_of(config, Read(at, 100, external=1)))
        packets.append(packet_of(config, Read(0, words)))
        expected = bench.model.exchange(packets)
        assert await bench.exchange(packets, random.choice((7, 64, 1000))) == expected
    assert bench.ram.read(EXTERNAL - PAGE, PAGE) == around[:PAGE]
    assert bench.ram.read(EXTERNAL + size, PAGE) == around[PAGE:]


@cocotb.test()
async def both_register_maps(dut):
    """Both maps answer on one bus, also when requests for them alternate without pause."""
    bench = await opened(dut)
    generator()
    await bench.write("target_high", 0x12345678)
    known = {
        registers.ADDRESS["magic"]: registers.MAGIC,
        ADDRESS["target_high"]: 0x12345678,
        ADDRESS["beat_bytes"]: bench.config.stream_bytes,
        registers.ADDRESS["version"]: registers.VERSION,
        ADDRESS["control"]: 0,
        max(ADDRESS.values()) + 4: 0,
    }
    order = [random.choice(list(known)) for _ in range(100)]
    reads = [cocotb.start_soon(bench.axi.read(address, 4)) for address in order]
    for address, answer in zip(order, reads, strict=True):
        got = int.from_bytes((await answer).data, "little")
        assert got == known[address], hex(address)


@cocotb.test()
async def errors_of_the_memory(dut):
    """An error ends the transfer and is told; after a reset everything works as before."""
    bench = await opened(dut)
    rng = generator()
    for failing in ("read", "write"):
        packets = product(bench.config, rng, OutputFormat.FP32, 1.0)
        interface = bench.ram.read_if if failing == "read" else bench.ram.write_if
        channel = interface.r_channel if failing == "read" else interface.b_channel
        send = channel.send
        channel.send = partial(_fail, send, failing)
        await bench.begin(packets, TARGET, 1000)
        wanted = STATUS_READ_FAILED if failing == "read" else STATUS_WRITE_FAILED
        for _ in range(POLLS):
            status = await bench.read("status")
            if status & wanted:
                break
        assert status & wanted, failing
        channel.send = send
        await bench.write("control", CONTROL_ABORT)
        await bench.axi.write(
            registers.ADDRESS["control"], registers.CONTROL_RESET.to_bytes(4, "little")
        )
        bench.model.write_register(registers.ADDRESS["control"], registers.CONTROL_RESET)
        for _ in range(600):
            await RisingEdge(dut.clk)
        status = await bench.read("status")
        assert status == STATUS_FULL, hex(status)
        packets = product(bench.config, rng, OutputFormat.FP32, 1.0)
        expected = bench.model.exchange(packets)
        assert await bench.exchange(packets, 1000) == expected


async def _fail(send, half: str, response):
    """Send a response of the memory as a decoding error."""
    setattr(response, "rresp" if half == "read" else "bresp", AxiResp.DECERR)
    await send(response)
