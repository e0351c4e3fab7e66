"""The registers, read and written by an independent AXI4-Lite master, against a model in Python."""

import random
from collections import deque

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from ...hw.bus.axi_lite import ADDRESS_BITS
from ...hw.control.counters import EVENTS
from ...hw.isa.codes import Flag
from ...hw.isa.engine_counters import ENGINE_ADDRESS, engine_counters
from ...hw.isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    FIRST,
    NARROW,
    STALLS,
    WIDE,
    constants,
)
from .common import configuration, generator, stable, start, until

COUNTED_BY = {"slots": "issue", "tiles": "tile", "commands": "answered", "errors": "errored"}
"""Counters that add an event of another name; the rest of the narrow ones are called alike."""
PERIOD = 10
"""Nanoseconds."""


class Model:
    """What every register holds, from cycle to cycle."""

    def __init__(self, config):
        self.config = config
        self.constants = constants(config)
        self.flags = 0
        self.high = 0
        self.latest = dict.fromkeys(EVENTS(config).members, 0)
        """The events of the cycle before, which the counters see now."""
        self.clear()

    def clear(self):
        self.counters = dict.fromkeys((*WIDE, *NARROW, *engine_counters(self.config)), 0)
        self.waiting = dict.fromkeys(STALLS[2:], 0)
        self.started, self.elapsed = False, 0

    def read(self, address: int, events: dict[str, int]) -> int:
        """The register at `address`; a wide counter's high word is kept with its low one."""
        names = [name for name, at in ADDRESS.items() if at == address]
        if not names:
            return 0
        (name,) = names
        if name in WIDE:
            self.high = self.counters[name] >> 32
        known = self.constants | {"flags": self.flags, "status": events["busy"], "control": 0}
        known |= {name: count & 0xFFFFFFFF for name, count in self.counters.items()}
        # Of engines that the device has not there are counters at zero.
        return self.high if name.endswith("_high") else known.get(name, 0)

    def step(self, events: dict[str, int], control: int, cycles: int = 1):
        """Cycles in which the same happened."""
        kept = 0 if control & CONTROL_CLEAR_FLAGS else self.flags
        self.flags = kept | events["flag_set"]
        events, self.latest = self.latest, dict(events)
        if control & CONTROL_CLEAR_COUNTERS:
            self.clear()
            return
        counters = self.counters
        counters["total"] += cycles
        counters["macs"] += cycles * events["nonzero"] * self.config.rows
        added = {*NARROW, "slots", *engine_counters(self.config)} - set(self.waiting)
        for name in added:
            counters[name] += cycles * events[COUNTED_BY.get(name, name)]
        if self.started or events["issue"]:
            self.elapsed += cycles
            if events["last_output"]:
                counters["cycles"] = self.elapsed
        for name in self.waiting:
            # Waiting counts once something is issued after it.
            if events["issue"]:
                counters[name] += self.waiting[name]
                self.waiting[name] = 0
            elif self.started:
                self.waiting[name] += cycles * events[name]
        self.started |= bool(events["issue"])


class Bench:
    """The bus master, random events, and the model that sees what crosses the bus."""

    def __init__(self, dut, config):
        self.dut, self.config = dut, config
        self.model = Model(config)
        self.layout = EVENTS(config)
        self.rates = dict.fromkeys(self.layout.members, 0.3)
        """How often each event happens."""
        self.events = dict.fromkeys(self.layout.members, 0)
        self.resets = 0
        self.clearings = 0
        """How often flags were cleared in a cycle that set one."""
        self.expected: deque[int] = deque()
        self.axi = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        for valid, ready, *payload in (
            ("rvalid", "rready", "rdata", "rresp"),
            ("bvalid", "bready", "bresp"),
        ):
            signals = [getattr(dut, f"s_axil_{name}") for name in (valid, ready, *payload)]
            cocotb.start_soon(stable(dut.clk, *signals))
        self.drive()
        self.resume()

    def drive(self):
        """The events of the next cycle."""
        word = 0
        for name, field in self.layout:
            self.events[name] = self._draw(name) if random.random() < self.rates[name] else 0
            word |= self.events[name] << field.offset
        self.dut.events.value = word

    def resume(self):
        """Watch from the next cycle on; `running` is the task."""
        self.running = cocotb.start_soon(self._run())

    def _draw(self, name: str) -> int:
        if name == "nonzero":
            return random.randrange(self.config.columns + 1)
        return 1 << random.randrange(len(Flag)) if name == "flag_set" else 1

    async def _run(self):
        """Every cycle: what was read, what was written, what happened."""
        dut, model = self.dut, self.model
        control = 0
        while True:
            await RisingEdge(dut.clk)
            # What was written to CONTROL a cycle ago acts now.
            reset_due = int(bool(control & CONTROL_RESET))
            assert int(dut.flags.value) == model.flags
            assert int(dut.reset.value) == reset_due
            self.resets += reset_due
            if int(dut.s_axil_rvalid.value) and int(dut.s_axil_rready.value):
                assert int(dut.s_axil_rdata.value) == self.expected.popleft()
                assert int(dut.s_axil_rresp.value) == 0
            if int(dut.s_axil_arvalid.value) and int(dut.s_axil_arready.value):
                address = int(dut.s_axil_araddr.value)
                self.expected.append(model.read(address, self.events))
            model.step(self.events, control)
            self.clearings += bool(control & CONTROL_CLEAR_FLAGS and self.events["flag_set"])
            control = 0
            if int(dut.s_axil_awvalid.value) and int(dut.s_axil_awready.value):
                assert int(dut.s_axil_wvalid.value) and int(dut.s_axil_wready.value)
                if int(dut.s_axil_awaddr.value) == ADDRESS["control"]:
                    if int(dut.s_axil_wstrb.value) & 1:
                        control = int(dut.s_axil_wdata.value)
            self.drive()

    def pauses(self):
        """Other random pauses on all five channels."""

        def generator(probability):
            while True:
                yield random.random() < probability

        write, read = self.axi.write_if, self.axi.read_if
        for channel in (
            write.aw_channel,
            write.w_channel,
            write.b_channel,
            read.ar_channel,
            read.r_channel,
        ):
            channel.set_pause_generator(generator(random.choice((0, 0.3, 0.8))))

    async def read(self, address: int) -> int:
        return int.from_bytes((await self.axi.read(address, 4)).data, "little")

    async def write(self, address: int, data: bytes):
        await self.axi.write(address, data)

    async def strobe(self, address: int, data: int, strobes: int):
        """Write with any strobes: the master itself puts zeros where it strobes nothing."""
        write = self.axi.write_if
        request, word = write.aw_channel._transaction_obj(), write.w_channel._transaction_obj()
        request.awaddr, word.wdata, word.wstrb = address, data, strobes
        await write.aw_channel.send(request)
        await write.w_channel.send(word)
        await write.b_channel.recv()


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "events")
    return Bench(dut, config)


@cocotb.test()
async def constants_and_unknown_addresses(dut):
    bench = await opened(dut)
    for name, value in constants(bench.config).items():
        assert await bench.read(ADDRESS[name]) == value, name
        await bench.write(ADDRESS[name], b"\xff\xff\xff\xff")
        assert await bench.read(ADDRESS[name]) == value, name
    beyond = [4 * len(FIRST), max(ENGINE_ADDRESS.values()) + 4]
    for address in (*beyond, *(b + 4 for b in beyond), 0x400, (1 << ADDRESS_BITS) - 4):
        await bench.write(address, b"\xff\xff\xff\xff")
        assert await bench.read(address) == 0
    assert not bench.resets


@cocotb.test()
async def random_events_and_accesses(dut):
    bench = await opened(dut)
    control = ADDRESS["control"]
    resets = 0
    for _ in range(60):
        bench.pauses()
        bench.rates = {name: random.choice((0, 0.1, 0.5, 1)) for name in bench.rates}
        bench.rates["flag_set"] = random.choice((0, 0.02))
        reads = [
            cocotb.start_soon(bench.read(address))
            for address in random.choices(list(ADDRESS.values()), k=40)
        ]
        for _ in range(4):
            value = random.getrandbits(3)
            kind = random.randrange(4)
            if kind == 0:
                # Only the lowest byte acts (see `strobes`), and only at its address.
                await bench.write(control + 1, bytes([value] * 3))
            elif kind == 1:
                await bench.write(random.choice(list(ADDRESS.values())[:8]), bytes([value]))
            else:
                await bench.write(control, bytes([value]) if kind == 2 else bytes([value, 0, 0, 0]))
                resets += bool(value & CONTROL_RESET)
        for read in reads:
            await read
    await until(dut.clk, lambda: bench.resets == resets, 10, "the last reset")
    assert not bench.expected
    # Nothing happens now: a second reading tells the same, and clearing leaves zeros.
    bench.rates = dict.fromkeys(bench.rates, 0)
    await RisingEdge(dut.clk)
    await bench.write(control, bytes([CONTROL_CLEAR_COUNTERS | CONTROL_CLEAR_FLAGS]))
    for name in (*bench.model.counters, "flags", "control", "status"):
        value = await bench.read(ADDRESS[name])
        assert value == 0 or name == "total", name


@cocotb.test()
async def strobes(dut):
    """A byte acts only where its strobe says so, whatever the bus carries in the others."""
    bench = await opened(dut)
    for strobes in range(16):
        for value in range(8):
            others = random.getrandbits(24) << 8
            await bench.strobe(ADDRESS["control"], value | others, strobes)
    await bench.strobe(ADDRESS["control"], 0xFFFFFFFF, 0b1110)
    await until(dut.clk, lambda: bench.resets == 8 * 4, 10, "the last reset")


@cocotb.test()
async def flags_set_while_they_are_cleared(dut):
    """A flag that comes in the cycle of the clearing is not lost with the older ones."""
    bench = await opened(dut)
    bench.rates["flag_set"] = 1
    for _ in range(20):
        await bench.write(ADDRESS["control"], bytes([CONTROL_CLEAR_FLAGS]))
    await until(dut.clk, lambda: bench.clearings == 20, 5, "the last clearing")


@cocotb.test()
async def wide_counters(dut):
    """The high word belongs to the low word that was read, though the counter went on."""
    bench = await opened(dut)
    model, config = bench.model, bench.config
    each = config.columns * config.rows
    bench.rates = dict.fromkeys(bench.rates, 0)
    # To within a few hundred cycles of 2**32, without Python in between.
    for boundary in (1, 2):
        bench.rates |= {"issue": 1, "nonzero": 1}
        bench._draw = lambda name: config.columns if name == "nonzero" else 1
        for _ in range(3):
            await FallingEdge(dut.clk)
        bench.running.cancel()
        cycles = ((boundary << 32) - model.counters["macs"]) // each - 60
        await Timer(cycles * PERIOD, "ns")
        model.step(bench.events, 0, cycles)
        bench.resume()
        highs = set()
        for _ in range(40):
            low = await bench.read(ADDRESS["macs"])
            value = low | await bench.read(ADDRESS["macs_high"]) << 32
            assert abs(model.counters["macs"] - value) < 60 * each
            highs.add(value >> 32)
        assert highs == {boundary - 1, boundary}


@cocotb.test()
async def engines_that_never_rest(dut):
    """Every event in every cycle, and a bus that reads whenever it can: no count is late."""
    bench = await opened(dut)
    names = engine_counters(bench.config)
    bench.rates = dict.fromkeys(bench.rates, 0) | dict.fromkeys(names, 1)
    for clear in (False, True):
        if clear:
            await bench.write(ADDRESS["control"], bytes([CONTROL_CLEAR_COUNTERS]))
        for number in range(6):
            # One address again and again, or all in turn: by groups, so that no cycle is free.
            asked = random.choices(list(ADDRESS.values()), k=1 if number % 2 else 40) * 4
            reads = [cocotb.start_soon(bench.read(address)) for address in asked]
            for read in reads:
                await read
    for name in names:
        await bench.read(ADDRESS[name])
        assert bench.model.counters[name] > 500, name
