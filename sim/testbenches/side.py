"""Side operands from tensor memory to the columns: each addend and mask in its row's place, read
once, and nothing read that the RUN has not."""

import random
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import cocotb
import numpy as np
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.layouts.output import SIDE
from ...hw.layouts.tensor import WRITE_PORT
from ...hw.lib.connect import connect_checked
from ...hw.output.side import SideOperands
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.share import PortShare
from ...hw.tensor.side import SideReader
from ..golden import numbers
from .common import Source, configuration, generator, join, start, until


class Beside(wiring.Component):
    """The device under test: as in the core, but that the test says when a column group's next sum
    is there, and shares the port (`rival`)."""

    def __init__(self, config: Config):
        self.config = config
        groups = config.columns // config.columns_per_epilogue
        super().__init__(
            {
                "store": In(WRITE_PORT(config)),
                "runs": In(stream.Signature(SIDE(config))),
                "rival": In(1),
                "asked": Out(1),
                "address": Out(range(config.tensor_words)),
                "go": In(groups),
                "wants_addend": In(groups),
                "wants_mask": In(groups),
                "took": Out(groups),
                "addend": Out(signed(config.exact_bits)).array(groups),
                "zero": Out(groups),
                "nonfinite": Out(groups),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, shared = self.config, self.config.columns_per_epilogue
        m.submodules.memory = memory = TensorMemory(config)
        m.submodules.share = share = PortShare(config)
        m.submodules.side = side = SideReader(config)
        connect_checked(m, wiring.flipped(self.store), memory.write)
        connect_checked(m, wiring.flipped(self.runs), side.runs)
        connect_checked(m, side.port, share.readers[1])
        connect_checked(m, share.port, memory.reads[1])
        m.d.comb += [
            share.readers[0].valid.eq(self.rival),
            memory.reads[0].valid.eq(self.rival),
            self.asked.eq(side.port.valid & side.port.ready),
            self.address.eq(side.port.address[0]),
        ]
        for g, addend in enumerate(self.addend):
            m.submodules[f"group_{g}"] = group = SideOperands(config)
            for s, port in enumerate(group.side):
                connect_checked(m, side.columns[g * shared + s], port)
            turn, take = Signal(range(shared), name=f"turn_{g}"), self.took[g]
            m.d.comb += [
                group.turn.eq(turn),
                group.taken_turn.eq(turn),
                group.wants_addend.eq(self.wants_addend[g]),
                group.wants_mask.eq(self.wants_mask[g]),
                take.eq(self.go[g] & group.there),
                group.takes_addend.eq(take & self.wants_addend[g]),
                group.takes_mask.eq(take & self.wants_mask[g]),
                addend.eq(group.addend),
                self.zero[g].eq(group.zero),
                self.nonfinite[g].eq(group.nonfinite),
            ]
            with m.If(take):
                m.d.sync += turn.eq(Mux(turn == shared - 1, 0, turn + 1))
        connect_checked(m, group.freed, side.freed)
        return m


@dataclass(frozen=True)
class Operand:
    """Rows in memory: of elements of so many bits, the row's first being number `first`."""

    base: int
    words: int
    pitch: int
    groups: int
    first: int
    bits: int

    def fields(self, config: Config) -> list[tuple[int, int]]:
        """As layouts.OPERAND, value and width of each."""
        windows, size = config.rows // config.lanes, 8 * config.group_bytes
        group, begin = divmod(self.first * self.bits, size)
        unit = config.store_bytes * min(8, config.format.bits)
        most = -(-(size - unit + 32 * config.columns) // size)
        return [
            (
                self.base + group + (windows - 1) * self.pitch,
                (config.tensor_words + windows * 0xFFFF - 1).bit_length(),
            ),
            (self.base + self.words - self.groups + group, (config.tensor_words - 1).bit_length()),
            (self.pitch, 16),
            (min(self.groups - group, most), most.bit_length()),
            (begin // unit, (size // unit - 1).bit_length()),
        ]


class Bench:
    """What the memory holds, what must be read of it, and what each column must get."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.runs = Source(dut, "runs", 0.3)
        self.held = [random.randbytes(config.stream_bytes) for _ in range(config.tensor_words)]
        self.reads: deque[int] = deque()
        groups = config.columns // config.columns_per_epilogue
        self.rows: list[tuple] = []
        """Of each row, in the order of draining: addends and masks, or None."""
        self.taken = [0] * groups
        """By group, how many sums."""
        self.pause = self.rivalry = 0.3
        self.nonfinite = 0
        cocotb.start_soon(self._drive())

    async def stored(self):
        """The words are in the memory."""
        dut = self.dut
        for address, word in enumerate(self.held):
            dut.store__enable.value = (1 << len(dut.store__enable)) - 1
            bits = (self.config.tensor_words - 1).bit_length()
            dut.store__address.value = join([address] * self.config.lanes, bits)
            dut.store__data.value = int.from_bytes(word, "little")
            await RisingEdge(dut.clk)
        dut.store__enable.value = 0

    def run(
        self,
        blocks: int,
        addend: Operand | None,
        mask: Operand | None,
        raw: bool = False,
        output: int = 0,
        plane: int = 0,
    ):
        """A RUN with side operands, and all that must come of it."""
        config = self.config
        windows = config.rows // config.lanes
        none = Operand(0, 0, 0, 0, 0, 8)
        fields = [
            (blocks * windows, ((1 << 16) * windows - 1).bit_length()),
            *((int(bool(flag)), 1) for flag in (addend, raw, mask)),
            (output, 2),
            (plane, 16),
            *(addend or none).fields(config),
            *(mask or none).fields(config),
        ]
        descriptor = at = 0
        for value, bits in fields:
            descriptor, at = descriptor | (value & (1 << bits) - 1) << at, at + bits
        self.runs.queue.append(descriptor)
        # Two's complement of so many limbs; those above repeat the sign.
        limbs = range(-(-config.exact_bits // 32) if raw else 1)
        for block in range(blocks):
            for window in reversed(range(block * windows, (block + 1) * windows)):
                parts = [self._window(addend, window, limb * plane) for limb in limbs if addend]
                masks = self._window(mask, window, 0) if mask else None
                for lane in reversed(range(config.lanes)):
                    codes = [part[lane] for part in parts]
                    self.rows.append(
                        (
                            self._addends(codes, raw) if addend else None,
                            [self._zero(code, output) for code in masks[lane]] if masks else None,
                        )
                    )

    def _window(self, operand: Operand, window: int, further: int) -> list[list[int]]:
        """The codes of a window's rows, by lane; its words must be read in their order."""
        config, bits = self.config, operand.bits
        size, columns = 8 * config.group_bytes, config.columns
        inside = window * operand.pitch + operand.groups <= operand.words
        first = operand.first * bits // size
        last = -(-(operand.first + columns) * bits // size)
        begin, rows = operand.base + further + window * operand.pitch, [0] * config.lanes
        for group in range(first, min(last, operand.groups) if inside else first):
            self.reads.append(begin + group)
            for lane in range(config.lanes):
                piece = self.held[begin + group][lane * size // 8 :][: size // 8]
                rows[lane] |= int.from_bytes(piece, "little") << group * size
        return [
            [row >> (operand.first + c) * bits & (1 << bits) - 1 for c in range(columns)]
            for row in rows
        ]

    def _addends(self, codes: list[list[int]], raw: bool) -> list[int]:
        config = self.config
        if raw:
            sums = [
                sum(part[c] << 32 * n for n, part in enumerate(codes))
                for c in range(config.columns)
            ]
            half = 1 << config.exact_bits - 1
            return [(value + half) % (2 * half) - half for value in sums]
        values = numbers.to_float(config.format, np.array(codes[0]))
        self.nonfinite += int(np.count_nonzero(~np.isfinite(values)))
        unit = Fraction(2) ** config.format.product_unit_log2
        return [int(Fraction(v) / unit) if np.isfinite(v) else 0 for v in values.tolist()]

    def _zero(self, code: int, output: int) -> bool:
        return {0: code & 0x7FFFFFFF, 1: code & 0x7FFF, 2: code}[output] == 0

    async def _drive(self):
        """Sums that are there when they like, but no group's before the one west of it has its
        own; and what is taken with them."""
        dut, shared, groups = self.dut, self.config.columns_per_epilogue, len(self.taken)
        flagged, due = 0, []
        while True:
            go = addends = masks = 0
            for g in range(groups):
                row = self.taken[g] // shared
                if row < len(self.rows) and (g == 0 or self.taken[g] < self.taken[g - 1]):
                    go |= (random.random() >= self.pause) << g
                    addends |= (self.rows[row][0] is not None) << g
                    masks |= (self.rows[row][1] is not None) << g
            dut.go.value, dut.wants_addend.value, dut.wants_mask.value = go, addends, masks
            dut.rival.value = random.random() < self.rivalry
            await RisingEdge(dut.clk)
            if int(dut.asked.value):
                assert int(dut.address.value) == self.reads.popleft()
            flagged += int(dut.nonfinite.value).bit_count()
            self.flagged = flagged
            # An addend shows a cycle after it was taken.
            for g, addend in due:
                assert getattr(dut, f"addend__{g}").value.to_signed() == addend, (g, self.taken[g])
            due.clear()
            took = int(dut.took.value)
            for g in range(groups):
                if not took >> g & 1:
                    continue
                row, s = divmod(self.taken[g], shared)
                self.taken[g] += 1
                addend, zeros = self.rows[row]
                if addend is not None:
                    due.append((g, addend[g * shared + s]))
                if zeros is not None:
                    assert int(dut.zero.value) >> g & 1 == zeros[g * shared + s], (row, g, s)

    async def done(self, cycles: int) -> int:
        """Wait for all rows; returns how many cycles that took."""
        clock, took = self.dut.clk, 0
        wanted = len(self.rows) * self.config.columns_per_epilogue

        def ready() -> bool:
            nonlocal took
            took += 1
            return min(self.taken) == wanted

        await until(clock, ready, cycles, "the last row's operands")
        assert not self.reads
        for _ in range(12):
            await RisingEdge(clock)
            assert not int(self.dut.asked.value), "read again"
        assert self.flagged == self.nonfinite
        return took


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "runs__valid", "rival", "go", "store__enable")
    bench = Bench(dut, config)
    await bench.stored()
    return bench


def operand(config: Config, blocks: int, first: int, bits: int, most: int) -> Operand:
    """Rows somewhere in `most` words; of the windows all have a place there, or some."""
    least = first * bits // (8 * config.group_bytes) + 1
    groups = least + random.randrange(4)
    pitch = groups + random.choice((0, 0, 1))
    windows = random.randrange(1, blocks * config.rows // config.lanes + 2)
    words = min((windows - 1) * pitch + groups + random.randrange(2), most)
    assert words >= groups
    base = random.choice((0, most - words, random.randrange(most - words + 1)))
    return Operand(base, words, pitch, groups, first, bits)


@cocotb.test()
async def random_runs(dut):
    bench = await opened(dut)
    config, words = bench.config, bench.config.tensor_words
    for _ in range(40):
        bench.pause, bench.rivalry = random.choice((0, 0.3, 0.9)), random.choice((0, 0.5, 0.95))
        blocks, first = random.randrange(1, 4), random.randrange(3) * config.store_bytes
        kind, raw, output = random.randrange(1, 4), random.random() < 0.5, random.randrange(3)
        addend = mask = None
        plane = words // 4
        if kind & 1:
            bits = 32 if raw else config.format.bits
            addend = operand(config, blocks, first, bits, plane if raw else words)
        if kind & 2:
            mask = operand(config, blocks, first, (32, 16, 8)[output], words)
        bench.run(blocks, addend, mask, raw and bool(kind & 1), output, plane)
        if random.random() < 0.5:
            await bench.done(60_000)
    await bench.done(60_000)


@cocotb.test()
async def at_full_speed(dut):
    """A word a cycle from the first RUN to the last, whatever their kinds, if nobody else reads and
    the sums are there."""
    bench = await opened(dut)
    config = bench.config
    bench.pause = bench.rivalry = 0
    bench.runs.pause = 0
    blocks, windows = 5, config.rows // config.lanes
    for raw, output in ((False, 1), (True, 1), (False, 2)):
        bits = 32 if raw else config.format.bits
        total = blocks * windows

        def rows(bits: int, parts: int) -> Operand:
            groups = -(-config.columns * bits // (8 * config.group_bytes))
            # What has no place takes its time, too.
            most = min(blocks * windows, config.tensor_words // (parts * groups))
            return Operand(0, most * groups, groups, groups, 0, bits)

        addend, mask = rows(bits, 4 if raw else 1), rows((32, 16, 8)[output], 1)
        plane = config.tensor_words // 4
        limbs = -(-config.exact_bits // 32) if raw else 1
        words = total * (limbs * addend.groups + mask.groups)
        # A column group lets a sum through a cycle, of which a RAW addend is put together first.
        sums = total * config.lanes * config.columns_per_epilogue * limbs
        bench.run(blocks, addend, mask, raw, output, plane)
        took = await bench.done(20_000)
        assert took <= max(words, sums) + config.columns + 16, (took, words, sums)
