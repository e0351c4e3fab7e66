"""A reset at any moment: nothing of what was under way is left in sums, flags, counters or answers.

Every input is driven cycle by cycle, so that the reset comes in each cycle of a command in turn and
the clearing right behind it. What must come of the job after it is written down, not computed.
"""

import struct

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ...hw.formats import E4M3, E5M2, FP16, INT8, OutputFormat
from ...hw.isa.codes import Flag, Target
from ...hw.isa.commands import Load, Run, Sync
from ...hw.isa.host_stream import packet_of
from ...hw.isa.registers import ADDRESS, CONTROL_CLEAR_COUNTERS, CONTROL_CLEAR_FLAGS, CONTROL_RESET
from .common import configuration, generator, start

CLEAR = CONTROL_CLEAR_COUNTERS | CONTROL_CLEAR_FLAGS
KEPT = 5
"""Weights of one in every column; with activations 1, 2, 3, 4, 5 a sum is 15."""
LONG = 8
"""Words of a payload that is cut: more than what is ever on its way."""
LIMIT = 2000
"""Cycles within which anything must have happened."""


def code(config, value: float) -> int:
    """The raw element that is worth `value`, one of the few that are needed here."""
    if config.format == INT8:
        return int(value) & 0xFF
    half = int(np.float16(value).view(np.uint16))
    if config.format == FP16:
        return half
    if config.format == E5M2:
        return half >> 8
    return {0: 0, 1: 0x38, 2: 0x40, 3: 0x44, 4: 0x48, 5: 0x4A, 448: 0x7E, np.inf: 0x7F}[value]


def elements(config, values) -> bytes:
    kind = "<u2" if config.format.bits == 16 else "u1"
    return np.array([code(config, value) for value in values], kind).tobytes()


def nibbles(places) -> bytes:
    padded = [*places, *[0] * (len(places) % 2)]
    return bytes(low | high << 4 for low, high in zip(padded[::2], padded[1::2], strict=True))


def operands(config, x, w) -> list[bytes]:
    """LOADs of one group, the same for each row: activations `x`, weights `w` for all columns."""
    slots = len(w) * config.interleave
    group = [*x, *[0] * (config.group - len(x))]
    places = [n for n in range(len(w)) for _ in range(config.interleave * config.columns)]
    loads = {
        Target.ACTIVATIONS: (1, elements(config, group * config.rows)),
        Target.VALUES: (slots, elements(config, [w[place] for place in places])),
        Target.INDICES: (slots, nibbles(places)),
        Target.SCHEDULE: (1, bytes([len(w)])),
    }
    return [
        packet_of(config, Load(target, 0, words), payload)
        for target, (words, payload) in loads.items()
    ]


def run(config, output=OutputFormat.FP32, finish=True, blocks=1) -> bytes:
    return packet_of(
        config,
        Run(
            finish=finish,
            relu=False,
            output=output,
            settings_page=0,
            activation_base=0,
            activation_stride=0,
            row_blocks=blocks,
            slot_base=0,
            schedule_base=0,
            schedule_count=1,
        ),
    )


class Bench:
    """The three buses, each held by one coroutine at a time."""

    def __init__(self, dut, config):
        self.dut, self.config = dut, config
        self.answers: list[bytes] = []
        self._part = b""
        dut.s_axil_bready.value = dut.s_axil_rready.value = dut.m_axis_tready.value = 1
        cocotb.start_soon(self._collect())

    async def _collect(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.m_axis_tvalid.value) and int(dut.m_axis_tready.value):
                beat = int(dut.m_axis_tdata.value)
                self._part += beat.to_bytes(self.config.stream_bytes, "little")
                if int(dut.m_axis_tlast.value):
                    self.answers.append(self._part)
                    self._part = b""

    async def send(self, packets: list[bytes], cycles: int = LIMIT) -> int:
        """Offer one beat after another, for at most so many cycles; returns how many were left."""
        dut, width = self.dut, self.config.stream_bytes
        for packet in packets:
            for at in range(0, len(packet), width):
                dut.s_axis_tdata.value = int.from_bytes(packet[at : at + width], "little")
                dut.s_axis_tlast.value = at + width == len(packet)
                dut.s_axis_tvalid.value = 1
                taken = False
                while cycles and not taken:
                    await RisingEdge(dut.clk)
                    cycles -= 1
                    taken = bool(int(dut.s_axis_tready.value))
        dut.s_axis_tvalid.value = 0
        return cycles

    async def control(self, value: int):
        """Write CONTROL, in the next cycle."""
        dut = self.dut
        dut.s_axil_awaddr.value, dut.s_axil_wdata.value = ADDRESS["control"], value
        dut.s_axil_wstrb.value = 15
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 1
        await RisingEdge(dut.clk)
        assert int(dut.s_axil_awready.value) and int(dut.s_axil_wready.value)
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = 0
        await RisingEdge(dut.clk)
        assert int(dut.s_axil_bvalid.value)

    async def read(self, name: str) -> int:
        dut = self.dut
        dut.s_axil_araddr.value, dut.s_axil_arvalid.value = ADDRESS[name], 1
        await RisingEdge(dut.clk)
        assert int(dut.s_axil_arready.value)
        dut.s_axil_arvalid.value = 0
        await RisingEdge(dut.clk)
        assert int(dut.s_axil_rvalid.value)
        return int(dut.s_axil_rdata.value)

    async def answered(self, count: int):
        for _ in range(LIMIT):
            if len(self.answers) == count:
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"{len(self.answers)} answers, not {count}")

    async def reset(self, together: bool):
        """Reset and clear, by one write or by two with no pause between them."""
        if together:
            await self.control(CONTROL_RESET | CLEAR)
        else:
            await self.control(CONTROL_RESET)
            await self.control(CLEAR)
        await RisingEdge(self.dut.clk)  # what was offered has been taken by now
        self.answers, self._part = [], b""

    def sums(self, value: float):
        """The last answer's rows hold this everywhere."""
        beat, line = self.config.stream_bytes, self.config.row_beats(OutputFormat.FP32)
        body = self.answers[-1][beat * self.config.header_beats :]
        rows = np.frombuffer(body, "<f4").reshape(self.config.tile_rows, line * beat // 4)
        assert (rows[:, : self.config.columns] == value).all(), rows

    async def job(self):
        """The first job after a reset: its sums, answers, flags and counters, and nothing else."""
        config = self.config
        packets = [*operands(config, [1, 2, 3, 4, 5], [1] * KEPT), run(config)]
        await self.send(packets)
        await self.answered(len(packets))
        for answer in self.answers:
            opcode, status, _, _, flags = struct.unpack("<5H", answer[:10])
            assert not status and not flags, (opcode, status, flags)
        self.sums(15)
        assert await self.read("flags") == 0
        expected = {"commands": len(packets), "errors": 0}
        if not config.compact:
            slots = KEPT * config.interleave
            expected |= {"tiles": 1, "slots": slots, "macs": slots * config.columns * config.rows}
        for name, count in expected.items():
            assert await self.read(name) == count, name


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "s_axis_tvalid", "s_axil_awvalid", "s_axil_wvalid", "s_axil_arvalid")
    bench = Bench(dut, config)
    await bench.control(CLEAR)
    bench.answers = []
    await bench.job()
    return bench


async def cut(bench: Bench, before: list[bytes], packet: bytes, flags: int):
    """Reset in every cycle of `packet`, until one comes after its answer; alone it raises `flags`.

    `before` is sent and answered first.
    """
    length, ended = 0, False
    while not ended:
        bench.answers = []
        await bench.send(before)
        await bench.answered(len(before))
        for _ in range(await bench.send([packet], length // 2)):
            await RisingEdge(bench.dut.clk)
        ended = len(bench.answers) > len(before)
        await bench.reset(together=bool(length % 2))
        await bench.job()
        length += 1
        assert length < LIMIT
    assert length > 80  # from its header to its answer it takes 40 cycles at least
    bench.answers = []
    await bench.send([*before, packet])
    await bench.answered(len(before) + 1)
    assert await bench.read("flags") == flags
    await bench.reset(together=True)


@cocotb.test()
async def a_load_is_cut(dut):
    """Of infinities and NaNs, where there are any."""
    bench = await opened(dut)
    config = bench.config
    bad = code(config, np.inf) if config.format.is_float else 0
    kind = "<u2" if config.format.bits == 16 else "u1"
    units = {Target.ACTIVATIONS: config.rows * config.group, Target.VALUES: config.columns}
    for target, flag in (
        (Target.ACTIVATIONS, Flag.NONFINITE_ACTIVATION),
        (Target.VALUES, Flag.NONFINITE_WEIGHT),
    ):
        payload = np.full(LONG * units[target], bad, kind).tobytes()
        packet = packet_of(config, Load(target, 0, LONG), payload)
        await cut(bench, [], packet, 1 << flag if bad else 0)


@cocotb.test()
async def a_run_is_cut(dut):
    """One whose outputs are clipped, so that flags come from the end of the pipelines."""
    bench = await opened(dut)
    config = bench.config
    most = {INT8: 127, E4M3: 448}.get(config.format, 57344)
    loads = operands(config, [most] * KEPT, [most] * KEPT)
    output, flag = OutputFormat.FP16, Flag.OVERFLOW
    if config.format == INT8:
        output, flag = OutputFormat.INT8, Flag.SATURATED
    await cut(bench, loads, run(config, output, blocks=2), 1 << flag)


@cocotb.test()
async def sums_do_not_survive(dut):
    """Those of a RUN that does not finish: without a reset the next RUN adds to them."""
    bench = await opened(dut)
    config = bench.config
    five = [1, 2, 3, 4, 5]
    packets = [*operands(config, five, [2] * KEPT), run(config, finish=False)]
    packets += [*operands(config, five, [1] * KEPT), run(config)]
    bench.answers = []
    await bench.send(packets)
    await bench.answered(len(packets))
    bench.sums(45)
    await bench.reset(together=True)
    await bench.send([*packets[:5], packet_of(config, Sync())])
    await bench.answered(6)
    await bench.reset(together=True)
    await bench.job()  # its sums are 15
