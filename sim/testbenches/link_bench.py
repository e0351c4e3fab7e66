"""The link among independent bus models, and what its model says it must do."""

import random

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteSlave
from cocotbext.axi.address_space import Region

from ...hw.bus.axi_lite import ADDRESS_BITS
from ...hw.config import Config
from ...hw.isa.link_protocol import (
    BEATS_AT,
    Kind,
    LinkStatus,
    beats_in,
    beats_out,
    decode,
    encode,
)
from ...hw.isa.registers import ADDRESS, CONTROL_RESET
from ...hw.link.link import Link
from .common import Sink, configuration, generator, start, until
from .link_model import LinkModel

WATCHDOG = 3_000
"""Cycles, of the link under test."""
LONGEST = 30_000
"""Cycles until the answer to any request, pauses included."""
SESSION = 0x1234


def link(config: Config) -> Link:
    """The device under test."""
    return Link(config, WATCHDOG)


class Registers(Region):
    """Registers that tell how often they were read; one behind the bus, one in the model."""

    def __init__(self):
        super().__init__(1 << ADDRESS_BITS)
        self.reads = 0
        self.writes: list[tuple[int, int]] = []

    def read_register(self, address: int) -> int:
        self.reads += 1
        return (address + 1) * 0x9E3779B1 + self.reads & 0xFFFFFFFF

    def write_register(self, address: int, value: int) -> None:
        self.writes.append((address, value))

    async def _read(self, address, length, **kwargs):
        return self.read_register(address).to_bytes(length, "little")

    async def _write(self, address, data, **kwargs):
        self.write_register(address, int.from_bytes(data, "little"))


class Expected(LinkModel):
    """The model, told by the buses how many beats of an EXCHANGE the accelerator let through."""

    def __init__(self, bench: "Bench"):
        super().__init__(bench.config)
        self.device = Registers()  # type: ignore[assignment]
        self._bench = bench

    def _exchange(self, request: bytes) -> bytes:
        bench, size = self._bench, self.config.stream_bytes + 1
        body, most = request[BEATS_AT:], min(request[4], beats_out(self.config.stream_bytes))
        whole = [body[i : i + size] for i in range(0, len(body) // size * size, size)]
        taken, given = bench.taken, bench.given
        bench.taken, bench.given = [], []
        offered = [beat[:-1] + bytes([beat[-1] & 1]) for beat in whole]
        assert taken == offered[: len(taken)], "the accelerator was offered other beats"
        assert len(given) <= most, "more beats were taken from the accelerator than wanted"
        if not bench.stalled:
            assert (len(taken), len(given)) == (len(whole), most), "beats were left for later"
        cut = len(body) % size and len(taken) == len(whole)
        status = LinkStatus.BAD_LENGTH if cut else LinkStatus.OK
        return self._answer(request, status, len(taken), beats=b"".join(given))


class Bench:
    """The line's two ends, the accelerator's buses, and the model that is fed the same bytes."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.taken: list[bytes] = []
        """Beats offered to the accelerator since the last EXCHANGE, as on the line."""
        self.given: list[bytes] = []
        """Beats that it gave since then."""
        self.stalled = False
        """Whether the accelerator may be silent for longer than the link's patience."""
        self.ready = self.valid = 0.7
        """Probabilities that the accelerator takes, and gives, a beat in a cycle."""
        self.registers = Registers()
        self.slave = AxiLiteSlave(
            AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst, target=self.registers
        )
        self.sink = Sink(dut, "o", 0.3)
        self.model = Expected(self)
        self.sequence = 0
        self.kept = b""
        """The last response that the device must keep, as it came."""
        cocotb.start_soon(self._commands())
        cocotb.start_soon(self._responses())

    async def _commands(self):
        """The accelerator's input: what is offered stays until it is taken, or a reset."""
        dut, waiting = self.dut, None
        while True:
            await RisingEdge(dut.clk)
            ready = int(dut.s_axis_tready.value)
            if int(dut.s_axis_tvalid.value):
                data = int(dut.s_axis_tdata.value).to_bytes(self.config.stream_bytes, "little")
                beat = data + bytes([int(dut.s_axis_tlast.value)])
                assert waiting in (None, beat), "a beat changed while it waited"
                if waiting is None:
                    self.taken.append(beat)
                waiting = None if ready else beat
            elif waiting is not None:
                assert self.registers.writes[-1] == (ADDRESS["control"], CONTROL_RESET)
                waiting = None
            dut.s_axis_tready.value = random.random() < self.ready

    async def _responses(self):
        """The accelerator's output: beat after beat, all different."""
        dut, offered = self.dut, None
        while True:
            await RisingEdge(dut.clk)
            if offered is not None and int(dut.m_axis_tready.value):
                self.given.append(offered)
                offered = None
            if offered is None and random.random() < self.valid:
                offered = random.randbytes(self.config.stream_bytes)
                offered += bytes([random.getrandbits(1)])
                dut.m_axis_tdata.value = int.from_bytes(offered[:-1], "little")
                dut.m_axis_tlast.value = offered[-1]
            dut.m_axis_tvalid.value = offered is not None

    def pauses(self):
        """Other random pauses on every bus and on the line."""
        self.ready, self.valid = (random.choice((0.1, 0.7, 1.0)) for _ in range(2))
        self.sink.pause = random.choice((0, 0.3, 0.8))
        write, read = self.slave.write_if, self.slave.read_if
        for channel in (
            write.aw_channel,
            write.w_channel,
            write.b_channel,
            read.ar_channel,
            read.r_channel,
        ):
            probability = random.choice((0, 0.3, 0.8))
            channel.set_pause_generator(iter(lambda p=probability: random.random() < p, None))

    async def send(self, data: bytes, gap: int = 1):
        """Bytes from the line, with up to `gap` cycles between them."""
        for byte in data:
            self.dut.i_valid.value = 1
            self.dut.i_data.value = byte
            await RisingEdge(self.dut.clk)
            self.dut.i_valid.value = 0
            for _ in range(random.randint(0, gap)):
                await RisingEdge(self.dut.clk)

    async def quiet(self, limit: int = LONGEST) -> bytes:
        """What the device sends until it is idle."""
        idle = 0

        def done():
            nonlocal idle
            active = int(self.dut.busy.value) or int(self.dut.o__valid.value)
            idle = 0 if active else idle + 1
            return idle > 8

        await until(self.dut.clk, done, limit, "idle")
        sent = bytes(self.sink.received)
        self.sink.received.clear()
        return sent

    async def same(self, data: bytes, gap: int = 1, limit: int = LONGEST) -> bytes:
        """Send `data`; the device answers as the model does, and has done as much."""
        await self.send(data, gap)
        got = await self.quiet(limit)
        self.check(data, got)
        if got:
            assert int(self.dut.error.value) == (got != self.kept), "the error LED"
        return got

    def check(self, data: bytes, got: bytes):
        before = self.model.executed
        want = self.model.feed(data)
        again = want and want == self.model._kept and self.model.executed == before
        if want:
            assert got, f"no answer to {data.hex(' ')}"
            content = decode(got[1:-1])
            assert content is not None and encode(content) == got, f"no frame: {got.hex(' ')}"
            assert content == decode(want[1:-1]), f"{content.hex(' ')}: {want.hex(' ')}"
            assert not again or got == self.kept, "another answer to the same request"
            if content[4] not in (LinkStatus.BAD_SESSION, LinkStatus.BAD_SEQUENCE):
                self.kept = got
        else:
            assert not got, f"an answer to {data.hex(' ')}: {got.hex(' ')}"
        assert not self.taken, "beats of no request"
        assert not self.given, "beats for no request"
        assert self.registers.reads == self.model.device.reads
        assert self.registers.writes == self.model.device.writes

    async def hello(self):
        await self.same(self.frame(Kind.HELLO, bytes([1, 0])))
        assert not int(self.dut.s_axis_tvalid.value), "a beat survived the reset"

    def frame(self, kind: int, arguments: bytes, session: int = SESSION) -> bytes:
        """The next request."""
        self.sequence = (self.sequence + 1) % 256
        return self.again(kind, arguments, session, self.sequence)

    def again(self, kind: int, arguments: bytes, session: int, sequence: int) -> bytes:
        return encode(bytes([kind]) + session.to_bytes(2, "little") + bytes([sequence]) + arguments)

    def beats(self, count: int) -> bytes:
        """Random beats as on the line; only the lowest bit of a beat's last byte means anything."""
        return random.randbytes(count * (self.config.stream_bytes + 1))

    def arguments(self, kind: int) -> bytes:
        """Random arguments, of the right length."""
        address = 4 * random.randrange(1 << ADDRESS_BITS - 2)
        match kind:
            case Kind.HELLO:
                return random.randbytes(2)
            case Kind.READ:
                return address.to_bytes(2, "little")
            case Kind.WRITE:
                value = random.randbytes(4)
                if random.random() < 0.3:
                    address, value = ADDRESS["control"], bytes([CONTROL_RESET, 0, 0, 0])
                return address.to_bytes(2, "little") + value
            case Kind.EXCHANGE:
                most = beats_in(self.config.stream_bytes)
                count = random.choice((0, 1, 2, random.randint(0, most), most))
                wanted = random.choice((0, 1, 3, 255))
                return bytes([wanted, 0]) + self.beats(count)
        return random.randbytes(random.randrange(2, 20))


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "i_valid", "s_axis_tready", "m_axis_tvalid")
    bench = Bench(dut, config)
    await bench.hello()
    return bench
