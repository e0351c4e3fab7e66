"""What the filler and the row mover must make of their descriptors."""

import math
import random
import struct
from collections import deque
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.descriptors import Dense, Image, Rows
from ...hw.isa.maps import chunks
from ...sw.compiler.gradients import Across, DenseRows
from ...sw.compiler.kept import Grouped
from ...sw.compiler.steps import Load, Page
from ...sw.compiler.walks import Walk


class Model:
    """What the memory holds, and what must still come out of each mover."""

    def __init__(self, config: Config, fills: deque[int], rows: deque[int]):
        """`fills` and `rows` are where descriptors go."""
        self.config = config
        self._fills, self._rows = fills, rows
        self.bits = 8 * config.stream_bytes
        self.size = (config.tensor_words - 1).bit_length()
        self.group = self.bits // config.lanes
        self.held = [random.getrandbits(self.bits) for _ in range(config.tensor_words)]
        self.writes: deque = deque()
        """(target, address, chunk, data) of the filler."""
        self.row_writes: deque = deque()
        self.index_writes: deque = deque()
        self.settings: deque = deque()
        """(entry, column, scale, exponent, bias) of each column that is to be set."""
        self.fill_ends: deque = deque()
        """For each FILL how many of these three must have come by its end."""
        self.dense: deque = deque()
        """What each group of columns must get of each DENSE, by its slot."""
        self._due = [0, 0, 0]
        self._image: Image | None = None

    def fill(
        self, target: Target, address: int, count: int, source: int, words: int, *indices: int
    ):
        """A FILL; with the first word of `indices` beside its values, and how many these are."""
        descriptor = int(target) | address << 2 | count << 18 | source << 34
        first, beside = indices or (0, 0)
        at = 34 + self.size
        descriptor |= words << at | first << at + self.size + 1 | beside << at + 2 * self.size + 1
        self._fills.append(descriptor)
        alone = target is Target.INDICES
        own = self.index_writes if alone else self.writes
        self._due[alone] += self._deal(own, target, address, count, source, words)
        if indices:
            place = self.index_writes, Target.INDICES, address, count
            self._due[1] += self._deal(*place, first, beside)
        self.fill_ends.append(tuple(self._due))

    def fill_settings(self, entry: int, count: int, source: int, words: int):
        descriptor = entry << 2 | count << 18 | source << 34 | words << 34 + self.size
        # Behind the indices' words, of which there are none.
        self._fills.append(descriptor | 1 << 34 + 2 * (2 * self.size + 1))
        content = b"".join(
            word.to_bytes(self.config.stream_bytes, "little")
            for word in self.held[source : source + words]
        )
        columns = range(min(count, len(content) // 16))
        for column in columns:
            scale, exponent = struct.unpack_from("<Hh", content, 16 * column)
            bias = int.from_bytes(content[16 * column + 4 :][:12], "little")
            bias &= (1 << self.config.accumulator_bits) - 1
            self.settings.append((entry, column, scale, exponent, bias))
        self._due[2] += len(columns)
        self.fill_ends.append(tuple(self._due))

    def fill_biases(self, entry: int, count: int, source: int, words: int) -> bool:
        """A FILL of biases; returns whether one of them is lost."""
        config, size = self.config, self.config.group_bytes
        descriptor = entry << 2 | count << 18 | source << 34 | words << 34 + self.size
        self._fills.append(descriptor | 1 << sum(width for width, _ in self._dense_fields()))
        content = b"".join(
            word.to_bytes(config.stream_bytes, "little")[:size]
            for word in self.held[source : source + words]
        )
        lost, unit, width = False, config.format.product_unit_log2, config.accumulator_bits
        values = struct.unpack(f"<{len(content) // 4}f", content)[:count]
        for column, value in enumerate(values):
            there = math.isfinite(value) and abs(value) < 2.0 ** (width - 1 + unit)
            bias = round(Fraction(value) / Fraction(2) ** unit) if there else 0
            lost |= not there
            mask = (1 << width) - 1
            self.settings.append((entry, column, 1 << 15, unit - 15, bias & mask))
        self._due[2] += len(values)
        self.fill_ends.append(tuple(self._due))
        return lost

    def _dense_fields(self, dense: Dense | None = None) -> list[tuple[int, int]]:
        """Width and value of each field of a DENSE on its way to the filler, the lowest first."""
        of = dense or Dense(source=0, words=0, pitch=0, groups=0, address=0, count=0)
        return [
            (2, 0),
            (16, of.address),
            (16, of.count),
            (self.size, of.source),
            (self.size + 1, of.words),
            (2 * self.size + 2, 0),  # no indices, nor settings
            (1, 1),
            (16, of.pitch),
            ((self.config.columns // self.config.group).bit_length(), of.groups),
        ]

    def fill_dense(self, rows: DenseRows, slot: int, block: int, first: int, count: int):
        """A DENSE for slots of a column block, which begin with the one of this number."""
        config, tensor = self.config, rows.tensor
        place = block * config.columns // config.group
        code = block * -(-tensor.rows // config.group) * config.group + first
        load = Load(Page("weights", 0), Target.VALUES, slot, np.arange(code, code + count), False)
        (dense,) = rows.fills(load)
        at, descriptor = 0, 0
        for width, value in self._dense_fields(dense):
            descriptor |= value << at
            at += width
        self._fills.append(descriptor)
        due, kind = {}, chunks(config)[Target.INDICES]
        for number in range(-(-count // config.group) * config.group):
            row = first + number
            for group in range(config.columns // config.group):
                held = 0
                if number < count and place + group < tensor.groups:
                    at = row // config.lanes * tensor.groups + place + group
                    held = self.held[tensor.address + at] >> row % config.lanes * self.group
                due[slot + number, group] = held & (1 << self.group) - 1
            for chunk in range(kind.per_word):
                places = sum(number % config.group << 4 * n for n in range(kind.size))
                self.index_writes.append((int(Target.INDICES), slot + number, chunk, places))
                self._due[1] += 1
        self.dense.append(due)
        self._due[0] += len(due) // config.dense_groups
        self.fill_ends.append(tuple(self._due))

    def _deal(
        self, due: deque, target: Target, address: int, count: int, source: int, words: int
    ) -> int:
        kind = chunks(self.config)[target]
        data = 0
        for word in reversed(self.held[source : source + words]):
            data = data << self.bits | word
        dealt = min(count * kind.per_word, words * kind.per_beat)
        for i in range(dealt):
            piece = data >> i * kind.bits & (1 << kind.bits) - 1
            place = address + i // kind.per_word, i % kind.per_word
            due.append((int(target), *place, piece))
        return dealt

    def move(self, walk: Walk, block: int, first: int, count: int, address: int) -> int:
        """A ROWS, after an IMAGE if another one is in force; returns how many cycles it takes at
        least."""
        config, lanes = self.config, self.config.lanes
        if self._image != walk.image:
            self._image = walk.image
            self._rows.append(1 | _fields(walk.image) << 1)
            self.row_writes.append(None)
        self._rows.append(_fields(walk.rows(block, first, count, address)) << 1)
        cycles = 0
        for window in range(config.rows // lanes):
            numbers = [block * config.rows + window * lanes + lane for lane in range(lanes)]
            for group in range(first, first + count):
                pixels = [
                    self._pixel(walk, number, group // walk.tensor.groups) for number in numbers
                ]
                word = 0
                for lane, pixel in enumerate(pixels):
                    if pixel is not None:
                        place = pixel // lanes * walk.tensor.groups + group % walk.tensor.groups
                        held = self.held[walk.tensor.address + place]
                        held = held >> pixel % lanes * self.group & (1 << self.group) - 1
                        word |= held << lane * self.group
                self.row_writes.append((address + group - first, window, word, {}))
                # Pixels in one lane of the memory come one after another.
                there = [pixel % lanes for pixel in pixels if pixel is not None]
                cycles += max([1, *map(there.count, there)])
        self.row_writes.append(None)
        return cycles

    def move_across(self, across: Across, block: int, first: int, count: int, address: int) -> int:
        """A ROWS of transposed rows, likewise."""
        config, lanes, walk = self.config, self.config.lanes, across.walk
        blocks, last = config.rows // config.group, across.first + across.count
        self._asked(across, block * across.groups + first, count, address)
        cycles = 0
        for window in range(count * config.group // lanes):
            word, part = divmod(window, config.group // lanes)
            start = across.first + first * config.group + window * lanes
            taken = 0
            for n in range(blocks):
                pairs = ((number, block * blocks + n) for number in range(start, start + lanes))
                data, least = self._read(walk, pairs, last)
                self.row_writes.append((address + word, n, data, {"part": part}))
                taken += least
            # A pixel a cycle is what the walk makes.
            cycles += max(taken, lanes)
        self.row_writes.append(None)
        return cycles

    def move_grouped(self, grouped: Grouped, block: int, first: int, count: int, address: int):
        """A ROWS of rows that are grouped, likewise; `first` and `count` are whole windows."""
        config, lanes, walk = self.config, self.config.lanes, grouped.walk
        self._asked(grouped, block * grouped.words + first, count, address)
        # Taps are gone through before.
        cycles = config.rows
        for window in range(count // lanes):
            start = grouped.first + first + window * lanes
            for chunk, turn in np.ndindex(config.rows // lanes, lanes):
                pairs = (
                    (start + (n + turn) % lanes, block * config.rows + chunk * lanes + n)
                    for n in range(lanes)
                )
                data, least = self._read(walk, pairs, grouped.first + grouped.count)
                place = address + window * lanes
                self.row_writes.append((place, chunk, data, {"turn": turn}))
                cycles += least
        self.row_writes.append(None)
        return cycles

    def _asked(self, rows: Across | Grouped, code: int, count: int, address: int):
        """A ROWS for so many words, after an IMAGE if another one is in force."""
        if self._image != rows.image:
            self._image = rows.image
            self._rows.append(1 | _fields(rows.image) << 1)
            self.row_writes.append(None)
        codes = np.arange(code, code + count)
        load = Load(Page("activations", 0), Target.ACTIVATIONS, address, codes, False)
        (made,) = rows.fills(load)
        self._rows.append(_fields(made) << 1)

    def _read(self, walk: Walk, pairs: Iterable[tuple[int, int]], last: int) -> tuple[int, int]:
        """A group for each lane, of an output pixel (before the `last` one) and of its row; and how
        many cycles that takes at least."""
        data, there = 0, []
        for lane, (number, group) in enumerate(pairs):
            tap, at = divmod(group, walk.tensor.groups)
            pixel = self._pixel(walk, number, tap)
            if number >= last or group >= walk.groups or pixel is None:
                continue
            there.append(pixel % self.config.lanes)
            place = pixel // self.config.lanes * walk.tensor.groups + at
            held = self.held[walk.tensor.address + place] >> there[-1] * self.group
            data |= (held & (1 << self.group) - 1) << lane * self.group
        return data, max([1, *map(there.count, there)])

    def _pixel(self, walk: Walk, number: int, tap: int) -> int | None:
        """The number of the tensor's row that a tap of an output pixel is, or None for zeros."""
        images, kernel, (height, width) = walk.images, walk.kernel, walk.out
        # Images abreast take turns.
        block, at = divmod(number, images.abreast * height * width)
        at, image = divmod(at, images.abreast)
        image += block * images.abreast
        if image >= images.count:
            return None
        y = at // width * kernel.stride[0] - kernel.padding[0]
        x = at % width * kernel.stride[1] - kernel.padding[1]
        y += tap // kernel.size[1] * kernel.dilation[0]
        x += tap % kernel.size[1] * kernel.dilation[1]
        if not (0 <= y < images.height and 0 <= x < images.width):
            return None
        pixel = (block * images.height + y) * images.width + x
        return pixel * images.abreast + number % images.abreast


def _fields(command: Image | Rows) -> int:
    """A command's fields as they stand in its header."""
    word, at = 0, 0
    for name, (bits, _) in command.layout().items():
        word |= (getattr(command, name) & (1 << bits) - 1) << at
        at += bits
    return word
