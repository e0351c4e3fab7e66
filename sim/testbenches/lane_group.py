"""An lane group: every column's sums come out finished, in rows, whatever stalls there are."""

import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.config import Accumulation
from ...hw.formats import OutputFormat
from ...hw.output.lane_group import LaneGroup
from ..golden import dot, epilogue
from .common import configuration, generator, start

NUMBER = 3
"""Which group of the array this one is told to be."""
ROWS = 400


async def begin(dut, columns: int):
    """Reset the group, with no sum and no setting on its way."""
    dut.number.value = NUMBER
    quiet = [f"rows__{c}__valid" for c in range(columns)]
    await start(dut, *quiet, "settings__valid", "row_taken")


@cocotb.test()
async def rows_of_all_columns(dut):
    config = configuration()
    generator()
    columns = config.columns_per_epilogue
    await begin(dut, columns)
    settings = await set_entries(dut, config)

    rows = [Row(config) for _ in range(ROWS)]
    ends = [i for i, row in enumerate(rows) if row.end]
    sent, there, received, waiting, released = [0] * columns, 0, 0, 0, 0
    overflows, saturations = 0, 0
    while received < ROWS:
        overflows += int(dut.overflow.value)
        saturations += int(dut.saturated.value)
        if int(dut.release__valid.value):
            # Not before the RUN's last sum of the last column has been here.
            assert sent[-1] > ends[released]
            assert int(dut.release__page.value) == rows[ends[released]].page
            released += 1
        # Sums cannot wait: rows begin only while the queues have room, as the issuer sees to.
        for c in range(columns):
            limit = sent[c - 1] if c else min(ROWS, received + config.output_depth)
            go = sent[c] < limit and random.random() < 0.7
            getattr(dut, f"rows__{c}__valid").value = go
            if go:
                offer(dut, c, rows[sent[c]])
                sent[c] += 1
        taken = received < there and random.random() < 0.6
        dut.row_taken.value = taken
        # The row shows from the cycle after it was told of.
        there += int(dut.row_there.value)
        if taken:
            got = [int(getattr(dut, f"row__{c}").value) for c in range(columns)]
            expected = [int(result.raw[0]) for result in rows[received].finished(settings)]
            assert got == expected, (received, got, expected)
            received += 1
            waiting = 0
        await FallingEdge(dut.clk)
        waiting += 1
        assert waiting < 200, "the group stopped"
    assert released == len(ends)
    # Each clipped result has raised its flag, for a cycle.
    finished = [result for row in rows for result in row.finished(settings)]
    assert overflows == sum(result.overflow for result in finished) > 0
    assert saturations == sum(result.saturated for result in finished) > 0


class Row:
    """One row of sums of the group, and what its tile wants."""

    def __init__(self, config):
        self.config = config
        self.context = random.randrange(config.interleave)
        self.page = random.randrange(config.settings_pages)
        self.relu = random.random() < 0.5
        self.end = random.random() < 0.3
        self.output = random.choice(list(OutputFormat))
        self.mode = 1 | self.relu << 1 | self.output << 2 | self.page << 4
        columns = config.columns_per_epilogue
        if config.accumulation is Accumulation.FP32:
            # Multiples of the last place of a product, as the adder's sums are.
            floats = np.array(
                [random.gauss(0, 1) * 2.0 ** random.randrange(-10, 12) for _ in range(columns)]
            )
            floats = np.where(np.random.default_rng(0).random(columns) < 0.05, 0, floats)
            floats = (np.round(floats * 2.0**30) / 2.0**30).astype(np.float32)
            self.bits = [int(b) for b in floats.view(np.uint32)]
            self.sums = [int(s) for s in dot.as_integers(config.format, floats)]
        else:
            width = config.accumulator_bits
            self.sums = [
                random.getrandbits(random.randrange(1, width - 1)) * random.choice((-1, 1))
                for _ in range(columns)
            ]
            self.bits = [s & ((1 << width) - 1) for s in self.sums]

    def finished(self, settings) -> list[epilogue.Finished]:
        """The row's results, one a column."""
        entries = [of[self.page * self.config.interleave + self.context] for of in settings]
        return [
            epilogue.finish([value], *entry, self.relu, self.output)
            for value, entry in zip(self.sums, entries, strict=True)
        ]


def offer(dut, column: int, row: Row):
    """Put the column's sum of a row on its inputs."""
    getattr(dut, f"sums__{column}").value = row.bits[column]
    getattr(dut, f"rows__{column}__mode").value = row.mode
    getattr(dut, f"rows__{column}__end").value = row.end
    if row.config.interleave > 1:
        getattr(dut, f"rows__{column}__context").value = row.context


async def set_entries(dut, config) -> list[list[tuple]]:
    """Set entries, some for all groups, some for this one, some for another; what holds then."""
    unit = config.format.product_unit_log2
    columns, count = config.columns_per_epilogue, config.settings_entries
    settings = [[(0, 1 << 15, unit - 15)] * count for _ in range(columns)]
    for _ in range(4 * columns * count):
        everyone = random.random() < 0.2
        number = NUMBER if random.random() < 0.7 else NUMBER - 1
        place, entry_number = random.randrange(columns), random.randrange(count)
        entry = (
            random.getrandbits(config.accumulator_bits - 2) * random.choice((-1, 0, 1)),
            random.getrandbits(16),
            random.randrange(unit - 25, unit - 5),
        )
        dut.settings__valid.value = 1
        dut.settings__all.value = everyone
        dut.settings__column.value = place if everyone else number * columns + place
        dut.settings__entry.value = entry_number
        dut.settings__bias.value = entry[0] & ((1 << config.accumulator_bits) - 1)
        dut.settings__scale.value = entry[1]
        dut.settings__exponent.value = entry[2] & 0xFFFF
        await FallingEdge(dut.clk)
        if everyone or number == NUMBER:
            settings[place][entry_number] = entry
    dut.settings__valid.value = 0
    return settings


@cocotb.test()
async def a_reset_forgets_the_sums(dut):
    config = configuration()
    generator()
    columns = config.columns_per_epilogue
    await begin(dut, columns)
    # Columns are left unequal, as when the array is reset in the middle of a tile.
    for c in range(columns):
        offer(dut, c, Row(config))
        getattr(dut, f"rows__{c}__valid").value = 1
        for _ in range(3):
            await FallingEdge(dut.clk)
    dut.rst.value = 1
    for c in range(columns):
        getattr(dut, f"rows__{c}__valid").value = 0
    for _ in range(LaneGroup.settle + 1):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(100):
        await FallingEdge(dut.clk)
        assert not int(dut.row_there.value)
    # And the columns are in step again.
    for c in range(columns):
        getattr(dut, f"rows__{c}__valid").value = 1
    await FallingEdge(dut.clk)
    for c in range(columns):
        getattr(dut, f"rows__{c}__valid").value = 0
    seen = 0
    for _ in range(100):
        seen += int(dut.row_there.value)
        await FallingEdge(dut.clk)
    assert seen == 1
