"""The store before tensor memory: every byte of every row where it belongs, and nothing else."""

import random
from collections import deque
from itertools import product

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.formats import OutputFormat
from .common import configuration, generator, start, until


class Bench:
    """Rows on their way in, and what every write must be."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.rows: deque = deque()
        """(row, its RUN as layouts.OUTPUT, whether it is the last)."""
        self.due: list[deque] = [deque() for _ in range(config.lanes)]
        """For each lane what it must write: {address and byte: value} of one cycle each; a number
        is the end of a RUN."""
        self.ended = self.finished = self.written = 0
        self.pause = 0.3
        cocotb.start_soon(self._drive())
        cocotb.start_soon(self._watch())

    def run(self, blocks: int, output: OutputFormat, place: dict[str, int]):
        """Rows of a RUN, by the words of `commands.Run`; of RAW sums four for each, `plane` words
        apart."""
        config, planes = self.config, 4 if output is OutputFormat.RAW else 1
        size, unit = config.group_bytes, config.store_bytes
        first, begin = divmod(place["offset"], size)
        windows = config.rows // config.lanes
        most = -(-(size - unit + 4 * config.columns) // size)
        words, destination = config.tensor_words, place["destination"]
        limit = destination + place["words"] - place["groups"] + first
        fields = (
            (int(output), 2),
            (planes * blocks * config.rows, ((1 << 18) * config.rows - 1).bit_length()),
            (1, 1),
            (
                destination + first + (windows - 1) * place["pitch"],
                (words + windows * 0xFFFF - 1).bit_length(),
            ),
            (limit, (words - 1).bit_length()),
            (place["pitch"], 16),
            (min(place["groups"] - first, most), most.bit_length()),
            (begin // unit, (size // unit - 1).bit_length()),
            (place.get("pad", 0), 1),
            (place.get("plane", 0), 16),
        )
        descriptor = at = 0
        for value, bits in fields:
            descriptor, at = descriptor | value << at, at + bits
        for block in range(blocks):
            for row, plane in product(reversed(range(config.rows)), range(planes)):
                data = random.randbytes(config.columns * output.bytes // planes)
                final = block == blocks - 1 and row == 0 and plane == planes - 1
                self.rows.append((int.from_bytes(data, "little"), descriptor, final))
                window, lane = divmod(block * config.rows + row, config.lanes)
                if window * place["pitch"] + place["groups"] > place["words"]:
                    continue
                if place.get("pad"):
                    data += bytes(-(place["offset"] + len(data)) % size)
                writes: dict[int, dict] = {}
                for number, byte in enumerate(data, place["offset"]):
                    group = number // size
                    if group < place["groups"]:
                        address = destination + window * place["pitch"] + group
                        address += plane * place.get("plane", 0)
                        writes.setdefault(address, {})[number % size] = byte
                self.due[lane].extend(writes.items())
        self.ended += 1

    async def _drive(self):
        """Offers rows when it likes; what is there stays until it is taken."""
        dut, offered = self.dut, False
        while True:
            await RisingEdge(dut.clk)
            if offered and int(dut.row__go.value):
                self.rows.popleft()
                offered = False
            if not offered and self.rows and random.random() >= self.pause:
                offered = True
                data, run, final = self.rows[0]
                dut.row__data.value, dut.run.value, dut.row__final.value = data, run, final
                dut.row__last.value = 1
            elif not offered:
                dut.run.value = random.getrandbits(len(dut.run))
            dut.row__valid.value = offered

    async def _watch(self):
        dut, config = self.dut, self.config
        size, unit = config.group_bytes, config.store_bytes
        units, bits = size // unit, (config.tensor_words - 1).bit_length()
        predicted = None
        while True:
            await RisingEdge(dut.clk)
            if predicted is not None:
                assert int(dut.row__go.value) == predicted, "it knew otherwise a cycle ago"
            predicted = int(dut.row__go_next.value)
            enables = int(dut.port__enable.value)
            assert bool(enables) == bool(int(dut.writing.value))
            self.written += bool(enables)
            for lane in range(config.lanes):
                mine = enables >> lane * units & (1 << units) - 1
                if not mine:
                    continue
                address = int(dut.port__address.value) >> lane * bits & (1 << bits) - 1
                data = int(dut.port__data.value) >> 8 * size * lane
                got = {
                    byte: data >> 8 * byte & 0xFF
                    for byte in range(size)
                    if mine >> byte // unit & 1
                }
                assert (address, got) == self.due[lane].popleft()
            if int(dut.finished.value):
                self.finished += 1

    async def done(self, cycles: int):
        await until(
            self.dut.clk,
            lambda: not (self.rows or any(self.due)) and self.finished == self.ended,
            cycles,
            "the end of all rows",
        )
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        assert self.finished == self.ended


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "row__valid", "row__final")
    return Bench(dut, config)


@cocotb.test()
async def random_rows(dut):
    bench = await opened(dut)
    config = bench.config
    words, windows = config.tensor_words, config.rows // config.lanes
    for _ in range(80):
        bench.pause = random.choice((0, 0, 0.3, 0.9))
        blocks, groups = random.randrange(1, 4), random.randrange(1, 6)
        pitch = groups + random.choice((0, 0, 1, 3))
        # All windows, or some, or more room than there are rows for.
        taken = random.randrange(1, blocks * windows + 2)
        size = min((taken - 1) * pitch + groups + random.choice((0, 0, 1)), words)
        units = groups * config.group_bytes // config.store_bytes
        output, plane = random.choice(list(OutputFormat)), size + random.randrange(2)
        if output is OutputFormat.RAW and size + 3 * plane > words:
            output = OutputFormat.FP32
        beyond = size + 3 * plane if output is OutputFormat.RAW else size
        last = words - beyond
        bench.run(
            blocks,
            output,
            {
                "destination": random.choice((0, last, random.randrange(last + 1))),
                "plane": plane,
                "words": size,
                "pitch": pitch,
                "groups": groups,
                "offset": random.choice((0, random.randrange(units))) * config.store_bytes,
                "pad": random.randrange(2),
            },
        )
        await bench.done(4000)


@cocotb.test()
async def far_beyond_the_memory(dut):
    """Rows whose addresses would grow beyond all bounds, and then some that have a place."""
    bench = await opened(dut)
    bench.pause = 0
    place = {"destination": 1, "words": 3, "pitch": 0xFFFF, "groups": 1, "offset": 0}
    bench.run(300, OutputFormat.INT8, place)
    bench.run(1, OutputFormat.INT8, place | {"pitch": 1})
    await bench.done(400 * bench.config.rows)
    assert not any(bench.due)


@cocotb.test()
async def at_full_speed(dut):
    """A row a cycle while no row has more groups than there are lanes; with more, a group of each
    lane a cycle."""
    bench = await opened(dut)
    config, blocks = bench.config, 6
    bench.pause = 0
    for output in OutputFormat:
        planes = 4 if output is OutputFormat.RAW else 1
        groups = -(-config.columns * output.bytes // planes // config.group_bytes)
        windows = config.rows // config.lanes
        room = min(config.tensor_words // planes, blocks * windows * groups)
        place = {"destination": 0, "words": room, "pitch": groups, "groups": groups, "offset": 0}
        place["plane"] = room
        bench.run(blocks, output, place)
        began, cycles = len(bench.rows), 0
        while bench.rows:
            await RisingEdge(dut.clk)
            cycles += 1
        # The planes of a RAW row are one lane's.
        rate = max(1, -(-groups // (config.lanes if planes == 1 else 1)))
        assert cycles <= began * rate + 4, f"{cycles} cycles for {began} rows of {groups} groups"
        await bench.done(200)
