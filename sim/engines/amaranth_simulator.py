"""The accelerator in Amaranth's own simulator: for machines without a C++ compiler."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from ...hw.bus.axi_ram import AxiRam
from ...hw.config import Config
from ...hw.lib.connect import connect_checked
from ...hw.top import Accelerator, signature
from ...sw.errors import DeviceError
from .packets import Inbox, Outbox, at_work, hang, longest_silence

LARGEST = 64
"""Processing elements above which it is hopeless (8 x 8 runs some 50 cycles a second)."""
DEPTH = 10_000
"""Of Python's stack, for Amaranth's simulator."""
REGISTER_TIMEOUT = 1000
"""Cycles that an AXI4-Lite transfer may take."""


class _WithMemory(wiring.Component):
    """The accelerator, with external memory on the chip."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(signature(replace(config, external_bits=0)))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.accelerator = accelerator = Accelerator(config)
        m.submodules.memory = memory = AxiRam(8 * config.stream_bytes, config.external_bits)
        connect_checked(m, accelerator.m_axi, memory.s_axi)
        for name in self.signature.members:
            connect_checked(m, wiring.flipped(getattr(self, name)), getattr(accelerator, name))
        return m


class AmaranthTransport:
    """The transport of `sw.transports.simulated.SimulatedTransport`, thousands of times slower.

    `device` is the component to simulate, `hw.top.Accelerator` if there is none. Raises
    `DeviceError` for an array that would take hours.
    """

    def __init__(self, config: Config, device: wiring.Component | None = None):
        if config.rows * config.columns > LARGEST:
            raise DeviceError(
                f"{config.name!r} has {config.rows} x {config.columns} processing elements: too "
                f"many for Amaranth's simulator (up to {LARGEST}); install a C++ compiler "
                "(Debian, Ubuntu: apt install g++) or take a smaller preset"
            )
        self.config = config
        self.beat_bytes = config.stream_bytes
        self.cycles = 0
        """Clock cycles simulated so far."""
        self._chosen = device
        self.recover()

    def read_register(self, address: int) -> int:
        """The 32-bit register at `address`. Raises `DeviceError` if there is no answer."""
        return self._run(self._read, address)

    def write_register(self, address: int, value: int):
        """Write the 32-bit register at `address`. Raises `DeviceError` if there is no answer."""
        self._run(self._write, address, value)

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets and return their responses; see `transport.Transport`."""
        return self._run(self._exchange, packets, on_response)

    def recover(self) -> None:
        """Begin again with a new simulation: an exception has ended what ran in the old one."""
        if self._chosen is None:
            kind = _WithMemory if self.config.external_bits else Accelerator
            self._device = kind(self.config)
        else:
            self._device = self._chosen
        self._job = None
        # A header's CRC over a whole beat is an expression as deep as a beat has bits.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), DEPTH))
        simulator = Simulator(self._device)
        simulator.add_clock(1e-8)
        simulator.add_testbench(self._serve)
        simulator.advance()
        self._simulator = simulator

    def close(self):
        """End the simulation. Closing again does nothing."""
        self._simulator = None

    def _run(self, job: Callable, *arguments):
        """Simulate until `job`, a coroutine function, has run; returns its result."""
        if self._simulator is None:
            raise DeviceError("the simulated device is closed")
        answer: list = []
        self._job = (job, arguments, answer)
        while not answer:
            self._simulator.advance()
        result = answer[0]
        if isinstance(result, DeviceError):
            raise result
        return result

    async def _serve(self, ctx):
        while True:
            if self._job is None:
                await self._tick(ctx)
                continue
            job, arguments, answer = self._job
            self._job = None
            try:
                answer.append(await job(ctx, *arguments))
            except DeviceError as error:  # raised again in the thread that gave the job
                answer.append(error)

    async def _tick(self, ctx, *signals) -> tuple:
        """One clock cycle; returns the signals' values just before its edge."""
        _, _, *values = await ctx.tick().sample(*signals)
        self.cycles += 1
        return tuple(values)

    async def _read(self, ctx, address: int) -> int:
        d = self._device
        ctx.set(d.s_axil.araddr, address)
        ctx.set(d.s_axil.arvalid, 1)
        ctx.set(d.s_axil.rready, 1)
        for _ in range(REGISTER_TIMEOUT):
            taken, done, value = await self._tick(
                ctx, d.s_axil.arready, d.s_axil.rvalid, d.s_axil.rdata
            )
            if taken:
                ctx.set(d.s_axil.arvalid, 0)
            if done:
                ctx.set(d.s_axil.rready, 0)
                return value
        raise DeviceError(f"the simulated device did not answer a read of {address:#x}")

    async def _write(self, ctx, address: int, value: int):
        d = self._device
        ctx.set(d.s_axil.awaddr, address)
        ctx.set(d.s_axil.awvalid, 1)
        ctx.set(d.s_axil.wdata, value)
        ctx.set(d.s_axil.wstrb, 0xF)
        ctx.set(d.s_axil.wvalid, 1)
        ctx.set(d.s_axil.bready, 1)
        for _ in range(REGISTER_TIMEOUT):
            address_taken, data_taken, done = await self._tick(
                ctx, d.s_axil.awready, d.s_axil.wready, d.s_axil.bvalid
            )
            if address_taken:
                ctx.set(d.s_axil.awvalid, 0)
            if data_taken:
                ctx.set(d.s_axil.wvalid, 0)
            if done:
                ctx.set(d.s_axil.bready, 0)
                return
        raise DeviceError(f"the simulated device did not answer a write of {address:#x}")

    async def _exchange(self, ctx, packets, on_response) -> list[bytes]:
        d = self._device
        width = self.config.stream_bytes
        outbox, inbox = Outbox(packets, width), Inbox(width, on_response)
        sent, idle, before = 0, 0, None
        ctx.set(d.m_axis.tready, 1)
        while sent < outbox.beats or len(inbox.packets) < len(packets):
            offered = sent < outbox.beats
            ctx.set(d.s_axis.tvalid, offered)
            if offered:
                beat = outbox.data[sent * width : (sent + 1) * width]
                ctx.set(d.s_axis.tdata, int.from_bytes(beat, "little"))
                ctx.set(d.s_axis.tlast, outbox.last[sent])
            taken, valid, data, last = await self._tick(
                ctx, d.s_axis.tready, d.m_axis.tvalid, d.m_axis.tdata, d.m_axis.tlast
            )
            sent += offered and taken
            if valid:
                inbox.add(data.to_bytes(width, "little"), [last])
            idle = 0 if valid or (offered and taken) else idle + 1
            if idle > longest_silence(self.config):
                if before == (before := [await self._read(ctx, a) for a in at_work(self.config)]):
                    raise hang(self.config, len(inbox.packets), len(packets))
                idle = 0
        ctx.set(d.s_axis.tvalid, 0)
        ctx.set(d.m_axis.tready, 0)
        return inbox.packets
