"""A lane group: every column's sums come out finished, in rows, whatever stalls there are; with
side operands, which come when they like."""

import random
from fractions import Fraction

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.config import Accumulation
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.output.lane_group import LaneGroup
from ..golden import dot, epilogue, numbers
from .common import configuration, generator, join, start

NUMBER = 3
"""Which group of the array this one is told to be."""
ROWS = 400


async def begin(dut, columns: int):
    """Reset the group, with no sum and no setting on its way."""
    dut.number.value = NUMBER
    quiet = [f"rows__{c}__valid" for c in range(columns)]
    if configuration().tensor_words:
        quiet += [f"side__{c}__{kind}" for c in range(columns) for kind in ("addend", "mask")]
    await start(dut, *quiet, "settings__valid", "row_taken")


@cocotb.test()
async def rows_of_all_columns(dut):
    config = configuration()
    generator()
    columns = config.columns_per_epilogue
    await begin(dut, columns)
    settings = await set_entries(dut, config)

    rows = [Row(config, config.outputs) for _ in range(ROWS)]
    beside = Beside(dut, config, rows) if config.tensor_words else None
    ends = [i for i, row in enumerate(rows) if row.end]
    sent, there, received, waiting, released = [0] * columns, 0, 0, 0, 0
    overflows, saturations = 0, 0
    limbs = 0  # of the row that is next, those that were taken
    while received < ROWS:
        if beside:
            beside.step()
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
        taken = there > 0 and random.random() < 0.6
        dut.row_taken.value = taken
        # The row shows from the cycle after it was told of.
        there += int(dut.row_there.value) - taken
        if taken:
            row = rows[received]
            got = [int(getattr(dut, f"row__{c}").value) for c in range(columns)]
            if row.output is OutputFormat.RAW:
                expected = [total >> 32 * limbs & 0xFFFFFFFF for total in row.totals(settings)]
                limbs = (limbs + 1) % 4
            else:
                expected = [int(result.raw[0]) for result in row.finished(settings)]
            assert got == expected, (received, limbs, got, expected)
            received += not limbs
            waiting = 0
        await FallingEdge(dut.clk)
        waiting += 1
        assert waiting < 400, "the group stopped"
    assert released == len(ends)
    if beside:
        assert beside.used == [len(beside.addends), len(beside.masks)]
        assert beside.nonfinite == beside.flagged
    # Each clipped result has raised its flag, for a cycle.
    rounded = [row for row in rows if row.output in ROUNDED]
    finished = [result for row in rounded for result in row.finished(settings)]
    assert overflows == sum(result.overflow for result in finished) > 0
    assert saturations == sum(result.saturated for result in finished) > 0


class Row:
    """One row of sums of the group, and what its tile wants."""

    def __init__(self, config, outputs: tuple[OutputFormat, ...] = ROUNDED):
        self.config = config
        self.context = random.randrange(config.interleave)
        self.page = random.randrange(config.settings_pages)
        self.relu = random.random() < 0.5
        self.end = random.random() < 0.3
        self.output = random.choice(outputs)
        self.relu &= self.output is not OutputFormat.RAW
        self.mode = 1 | self.relu << 1 | self.output << 2 | self.page << 4
        self.addends = [0] * config.columns_per_epilogue
        self.zeros: list[bool] = []
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

    def _entries(self, settings) -> list[tuple]:
        return [of[self.page * self.config.interleave + self.context] for of in settings]

    def totals(self, settings) -> list[int]:
        """Each column's sum with bias and addend, as wide as it can be."""
        half = 1 << self.config.exact_bits - 1
        parts = zip(self.sums, self.addends, self._entries(settings), strict=True)
        return [
            (total + addend + bias + half) % (2 * half) - half
            for total, addend, (bias, *_) in parts
        ]

    def finished(self, settings) -> list[epilogue.Finished]:
        """The row's results, one a column."""
        entries, masked = self._entries(settings), self.zeros or [False] * len(self.sums)
        if self.config.tensor_words:
            totals = self.totals(settings)
        else:
            totals = [value + bias for value, (bias, *_) in zip(self.sums, entries, strict=True)]
        return [
            epilogue.finish([value], 0, scale, exponent, self.relu, self.output, zero)
            for value, (_, scale, exponent), zero in zip(totals, entries, masked, strict=True)
        ]


class Beside:
    """Side operands for rows, which come by windows of `lanes` rows and tell when they are used."""

    def __init__(self, dut, config, rows: list[Row]):
        self.dut, self.config = dut, config
        self.addends: list[list[tuple]] = []
        """Of each window (of RAW ones, each limb) and column: raw, and the word."""
        self.masks: list[list[int]] = []
        columns = config.columns_per_epilogue
        self.sent = [[0] * columns, [0] * columns]
        self.used = [0, 0]
        self.nonfinite = self.flagged = 0
        # All rows of a window are of one RUN.
        for at in range(0, len(rows) // config.lanes * config.lanes, config.lanes):
            window = rows[at : at + config.lanes]
            kind, raw = random.randrange(4), random.random() < 0.5
            if kind & 1:
                for row in window:
                    row.mode |= 1 << 4 + (config.settings_pages - 1).bit_length()
                self._add(window, raw)
            if kind & 2:
                for row in window:
                    row.zeros = [random.random() < 0.5 for _ in range(columns)]
                    row.output = random.choice(ROUNDED)
                    row.mode |= 2 << 4 + (config.settings_pages - 1).bit_length()
                    row.mode = row.mode & ~12 | row.output << 2
                # The last lane's row comes first.
                lanes = [row.zeros for row in reversed(window)]
                words = [sum(lane[c] << n for n, lane in enumerate(lanes)) for c in range(columns)]
                self.masks.append(words)

    def _add(self, window: list[Row], raw: bool):
        config, columns = self.config, self.config.columns_per_epilogue
        bits = config.exact_bits if raw else config.format.bits
        codes = [[random.getrandbits(bits) for _ in range(columns)] for _ in window]
        for row, own in zip(reversed(window), codes, strict=True):
            if raw:
                row.addends = [code - (code >> bits - 1 << bits) for code in own]
                continue
            values = numbers.to_float(config.format, np.array(own)).tolist()
            unit = Fraction(2) ** config.format.product_unit_log2
            row.addends = [int(Fraction(v) / unit) if np.isfinite(v) else 0 for v in values]
            self.nonfinite += sum(not np.isfinite(v) for v in values)
        # Above what a sum has, limbs repeat its sign.
        for limb in range(-(-config.exact_bits // 32) if raw else 1):
            wide = [[_signed(c, bits) if raw else c for c in own] for own in codes]
            self.addends.append(
                [
                    (raw, join([own[c] >> 32 * limb & 0xFFFFFFFF for own in wide], 32))
                    for c in range(columns)
                ]
            )

    def step(self):
        """A cycle: maybe offer each column its next window, as far as there is room."""
        dut, depth = self.dut, self.config.side_depth
        freed = int(dut.freed__addends.value), int(dut.freed__masks.value)
        self.flagged += int(dut.nonfinite.value)
        for c in range(self.config.columns_per_epilogue):
            for kind, (name, held) in enumerate((("addend", self.addends), ("mask", self.masks))):
                at = self.sent[kind][c]
                # The last column's are the last to be used, and to come.
                room = at < min(len(held), self.used[kind] + depth)
                go = room and (c == 0 or at < self.sent[kind][c - 1]) and random.random() < 0.6
                getattr(dut, f"side__{c}__{name}").value = bool(go)
                if go and kind == 0:
                    raw, word = held[at][c]
                    getattr(dut, f"side__{c}__raw").value = raw
                    getattr(dut, f"side__{c}__values").value = word
                elif go:
                    getattr(dut, f"side__{c}__zeros").value = held[at][c]
                self.sent[kind][c] += bool(go)
        # What is freed in this cycle is so from the next one on.
        self.used = [used + more for used, more in zip(self.used, freed, strict=True)]


def _signed(code: int, bits: int) -> int:
    return code - (code >> bits - 1 << bits)


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
