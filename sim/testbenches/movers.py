"""The filler and the row mover on one memory: every word to its buffer, once, at full speed."""

import random
import struct
from collections import deque
from dataclasses import replace

import cocotb
import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.commands import Image, Rows, Target
from ...hw.isa.maps import address_bits, chunks
from ...hw.layouts import (
    FILL,
    SKEWED,
    TURNED,
    WALK,
    WORDS,
    WRITE_PORT,
    beat,
    connect_checked,
    settings_signature,
    write_signature,
)
from ...hw.tensor.beats import BeatReader
from ...hw.tensor.filler import Filler
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.rows import RowMover
from ...hw.tensor.share import PortShare
from ...sw.compiler.gradients import Across, DenseRows
from ...sw.compiler.steps import Load, Page
from ...sw.compiler.tensors import Tensor
from ...sw.compiler.walks import Images, Kernel, Walk
from ...sw.errors import FormatError
from .common import Sink, Source, configuration, generator, join, start, until
from .host_traffic import payload_bits


class Movers(wiring.Component):
    """The device under test: as in the core, but that the test writes the memory."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "store": In(WRITE_PORT(config)),
                "fills": In(stream.Signature(FILL(config))),
                "rows": In(stream.Signature(WALK(config))),
                "words": In(stream.Signature(WORDS(config))),
                "o": Out(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "row_write": Out(write_signature(config)),
                "index_write": Out(write_signature(config)),
                "settings": Out(settings_signature(config)),
                "finished": Out(2),
                "faults": Out(3),
                "outside": Out(1),
                **({"turned": Out(TURNED(config))} if config.training else {}),
                **({"skewed": Out(SKEWED(config))} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = TensorMemory(config)
        m.submodules.filler = filler = Filler(config)
        m.submodules.mover = mover = RowMover(config)
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.share = share = PortShare(config)
        connect_checked(m, wiring.flipped(self.store), memory.write)
        connect_checked(m, wiring.flipped(self.fills), filler.fills)
        connect_checked(m, wiring.flipped(self.rows), mover.rows)
        connect_checked(m, wiring.flipped(self.words), reader.words)
        connect_checked(m, reader.o, wiring.flipped(self.o))
        connect_checked(m, reader.port, share.readers[0])
        connect_checked(m, mover.port, share.readers[1])
        connect_checked(m, share.port, memory.reads[0])
        connect_checked(m, filler.port, memory.reads[1])
        connect_checked(m, filler.write, wiring.flipped(self.write))
        connect_checked(m, mover.write, wiring.flipped(self.row_write))
        connect_checked(m, filler.indices, wiring.flipped(self.index_write))
        connect_checked(m, filler.settings, wiring.flipped(self.settings))
        if config.training:
            m.d.comb += [self.turned.eq(mover.turned), self.skewed.eq(filler.skewed)]
        m.d.comb += [
            self.finished.eq(filler.finished | mover.finished << 1),
            self.faults.eq(filler.faults),
            self.outside.eq(mover.fault),
        ]
        return m


class Bench:
    """What the memory holds, and what must still come out of each mover."""

    def __init__(self, dut, config: Config):
        self.dut, self.config = dut, config
        self.bits = 8 * config.stream_bytes
        self.size = (config.tensor_words - 1).bit_length()
        self.group = self.bits // config.lanes
        self.held = [random.getrandbits(self.bits) for _ in range(config.tensor_words)]
        self.fills, self.rows = Source(dut, "fills"), Source(dut, "rows")
        self.words, self.o = Source(dut, "words"), Sink(dut, "o")
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
        self._due, self._came = [0, 0, 0], [0, 0, 0]
        self.faults = 0
        self._image: Image | None = None
        cocotb.start_soon(self._watch())

    async def stored(self):
        """The words are in the memory."""
        dut = self.dut
        for address, word in enumerate(self.held):
            dut.store__enable.value = (1 << len(dut.store__enable)) - 1
            dut.store__address.value = join([address] * self.config.lanes, self.size)
            dut.store__data.value = word
            await RisingEdge(dut.clk)
        dut.store__enable.value = 0

    def fill(
        self, target: Target, address: int, count: int, source: int, words: int, *indices: int
    ):
        """A FILL; with the first word of `indices` beside its values, and how many these are."""
        descriptor = int(target) | address << 2 | count << 18 | source << 34
        first, beside = indices or (0, 0)
        at = 34 + self.size
        descriptor |= words << at | first << at + self.size + 1 | beside << at + 2 * self.size + 1
        self.fills.queue.append(descriptor)
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
        self.fills.queue.append(descriptor | 1 << 34 + 2 * (2 * self.size + 1))
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

    def fill_dense(self, rows: DenseRows, slot: int, block: int, first: int, count: int):
        """A DENSE for slots of a column block, which begin with the one of this number."""
        config, tensor = self.config, rows.tensor
        place = block * config.columns // config.group
        code = block * -(-tensor.rows // config.group) * config.group + first
        load = Load(Page("weights", 0), Target.VALUES, slot, np.arange(code, code + count), False)
        (dense,) = rows.fills(load)
        at, descriptor = 0, 0
        for width, value in (
            (2, 0),
            (16, dense.address),
            (16, dense.count),
            (self.size, dense.source),
            (self.size + 1, dense.words),
            (2 * self.size + 2, 0),  # no indices, nor settings
            (1, 1),
            (16, dense.pitch),
            ((config.columns // config.group).bit_length(), dense.groups),
        ):
            descriptor |= value << at
            at += width
        self.fills.queue.append(descriptor)
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

    def _dealt_dense(self, address: int, chunk: int, data: int):
        """A chunk of the DENSE at hand: each group once, in its place."""
        together, turn = self.config.dense_groups, int(self.dut.skewed.value) >> 1
        assert address % together == 0
        for n in range(together):
            place = address + (n - turn) % together, chunk * together + n
            group = data >> n * self.group & (1 << self.group) - 1
            assert self.dense[0].pop(place) == group
        if not self.dense[0]:
            self.dense.popleft()

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
            self.rows.queue.append(1 | _fields(walk.image) << 1)
            self.row_writes.append(None)
        self.rows.queue.append(_fields(walk.rows(block, first, count, address)) << 1)
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
                self.row_writes.append((address + group - first, window, word, None))
                # Pixels in one lane of the memory come one after another.
                there = [pixel % lanes for pixel in pixels if pixel is not None]
                cycles += max([1, *map(there.count, there)])
        self.row_writes.append(None)
        return cycles

    def move_across(self, across: Across, block: int, first: int, count: int, address: int) -> int:
        """A ROWS of transposed rows, likewise."""
        config, lanes, walk = self.config, self.config.lanes, across.walk
        blocks, last = config.rows // config.group, across.first + across.count
        if self._image != walk.image:
            self._image = walk.image
            self.rows.queue.append(1 | _fields(walk.image) << 1)
            self.row_writes.append(None)
        code = block * across.groups + first
        load = Load(
            Page("activations", 0),
            Target.ACTIVATIONS,
            address,
            np.arange(code, code + count),
            False,
        )
        (rows,) = across.fills(load)
        self.rows.queue.append(_fields(rows) << 1)
        cycles = 0
        for window in range(count * config.group // lanes):
            word, part = divmod(window, config.group // lanes)
            start = across.first + first * config.group + window * lanes
            taken = 0
            for n in range(blocks):
                group, data, there = block * blocks + n, 0, []
                for lane, number in enumerate(range(start, start + lanes)):
                    tap, at = divmod(group, walk.tensor.groups)
                    pixel = self._pixel(walk, number, tap)
                    if number >= last or group >= walk.groups or pixel is None:
                        continue
                    there.append(pixel % lanes)
                    place = walk.tensor.address + pixel // lanes * walk.tensor.groups + at
                    held = self.held[place] >> pixel % lanes * self.group
                    data |= (held & (1 << self.group) - 1) << lane * self.group
                self.row_writes.append((address + word, n, data, part))
                taken += max([1, *map(there.count, there)])
            # A pixel a cycle is what the walk makes.
            cycles += max(taken, lanes)
        self.row_writes.append(None)
        return cycles

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

    async def _watch(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            buses = ("write", self.writes), ("index_write", self.index_writes)
            for number, (bus, due) in enumerate(buses):
                valid, *place, data = (
                    int(getattr(dut, f"{bus}__{name}").value)
                    for name in ("valid", "target", "address", "chunk", "data")
                )
                if valid and number == 0 and self._skewed():
                    self._came[0] += 1
                    assert place[0] == Target.VALUES
                    self._dealt_dense(*place[1:], data)
                elif valid:
                    self._came[number] += 1
                    target, address, chunk, wanted = due.popleft()
                    mask = (1 << chunks(self.config)[target].bits) - 1
                    assert (place, data & mask) == ([target, address, chunk], wanted)
            if int(dut.row_write__valid.value):
                assert int(dut.row_write__target.value) == Target.ACTIVATIONS
                bus = dut.row_write__address, dut.row_write__chunk, dut.row_write__data
                part = None
                if self.config.training and int(dut.turned.value) & 1:
                    part = int(dut.turned.value) >> 1
                assert (*(int(b.value) for b in bus), part) == self.row_writes.popleft()
            if int(dut.settings__valid.value):
                bus = [dut.settings__entry, dut.settings__column, dut.settings__scale]
                got = (*(int(b.value) for b in bus), dut.settings__exponent.value.to_signed())
                bias = dut.settings__bias.value.to_unsigned()
                assert (*got, int(bias)) == self.settings.popleft()
                self._came[2] += 1
                assert not int(dut.settings__all.value)
            ended = int(dut.finished.value)
            if ended & 1:
                due = zip(self._came, self.fill_ends.popleft(), strict=True)
                assert all(came >= wanted for came, wanted in due), "a FILL ends too early"
            if ended & 2:
                assert self.row_writes.popleft() is None, "a ROWS ends before its last group"
            self.faults += int(dut.faults.value).bit_count()
            assert not int(dut.outside.value)

    def _skewed(self) -> bool:
        return self.config.training and bool(int(self.dut.skewed.value) & 1)

    async def done(self, cycles: int):
        await until(
            self.dut.clk,
            lambda: not (self.fill_ends or self.row_writes),
            cycles,
            "the end of all moves",
        )


def _fields(command: Image | Rows) -> int:
    """A command's fields as they stand in its header."""
    word, at = 0, 0
    for name, (bits, _) in command.layout().items():
        word |= (getattr(command, name) & (1 << bits) - 1) << at
        at += bits
    return word


def some_walk(config: Config) -> Walk:
    """Rows of a matrix or a convolution, of a tensor anywhere in the memory."""
    while True:
        height, width = random.randrange(1, 6), random.randrange(1, 8)
        groups, count = random.randrange(1, 4), random.randrange(1, 5)
        tensor = Tensor(
            config, 0, count * height * width, groups * config.group, config.format.bits
        )
        if tensor.words > config.tensor_words:
            continue
        address = random.choice((0, random.randrange(config.tensor_words - tensor.words + 1)))
        several = [n for n in (1, 2, 4) if count % n == config.rows % n == 0]
        abreast = random.choice(several)
        images = Images(replace(tensor, address=address), height, width, abreast)
        if random.random() < 0.3:
            return Walk.matrix(config, images.tensor)
        two = [(random.randrange(least, 4), random.randrange(least, 4)) for least in (1, 1, 0, 1)]
        try:
            return Walk.convolution(config, images, Kernel(two[0], two[1], two[2], None, two[3]))
        except FormatError:
            continue  # The window is larger than the image.


def some_rows(config: Config) -> DenseRows:
    """Rows of a tensor anywhere in the memory, from one that begins a group."""
    tensor = Tensor(config, 0, random.randrange(1, 50), random.randrange(1, 40), config.format.bits)
    address = random.randrange(config.tensor_words - tensor.words + 1)
    first = random.randrange(0, tensor.rows, config.group)
    count = random.randrange(1, tensor.rows - first + 1)
    return DenseRows(config, replace(tensor, address=address), first, count)


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "store__enable")
    bench = Bench(dut, config)
    await bench.stored()
    return bench


def _for_training(bench: Bench, walk: Walk):
    """Perhaps a DENSE, or rows of the walk across."""
    config = bench.config
    if random.random() < 0.4:
        rows = some_rows(config)
        block = random.randrange(-(-rows.tensor.columns // config.columns))
        size = config.group
        groups = -(-rows.count // size)
        group = random.randrange(groups)
        count = min(random.randrange(1, groups - group + 1) * size, rows.count - group * size)
        depth = config.weight_slots
        slots = -(-count // size)
        slot = size * random.randrange(depth // size - slots + 1)
        slot += depth * random.randrange(2)
        bench.fill_dense(rows, slot, block, rows.first + group * size, count)
    if random.random() < 0.4:
        pixels = walk.images.count * walk.out[0] * walk.out[1]
        first = random.randrange(0, pixels, config.group)
        across = Across(walk, first, random.randrange(1, pixels - first + 1))
        block = random.randrange(-(-walk.groups * config.group // config.rows))
        group = random.randrange(across.groups)
        count = random.randrange(1, across.groups - group + 1)
        address = random.randrange(config.activation_groups - count)
        bench.move_across(across, block, group, count, address)


@cocotb.test()
async def random_moves(dut):
    bench = await opened(dut)
    config, size, walk = bench.config, bench.config.tensor_words, None
    faults, asked, page = 0, 0, 2 * config.activation_groups
    for _ in range(120):
        bench.fills.pause, bench.rows.pause = random.choice(((0, 0), (0.5, 0.5), (0, 0.9)))
        target = random.choice(list(Target)[1:])
        depth = 1 << address_bits(config)[target]
        count = random.randrange(1, 9)
        words = -(-count * payload_bits(config)[target] // bench.bits)
        if random.random() < 0.2:
            words = max(1, words + random.choice((-1, 1)))
        source = random.randrange(size - words + 1)
        beside = []
        if target is Target.VALUES and random.random() < 0.6:
            needed = -(-count * payload_bits(config)[Target.INDICES] // bench.bits)
            # Each of the two may have too few words, or too many.
            some = max(1, needed + random.choice((-1, 0, 0, 0, 1)))
            beside = [random.randrange(size - some + 1), some]
            faults += some != needed
        bench.fill(target, random.randrange(depth - count), count, source, words, *beside)
        # A record's count is in its lowest bits; more than a group has are a fault.
        records = []
        if target is Target.SCHEDULE:
            content = b"".join(
                word.to_bytes(config.stream_bytes, "little")
                for word in bench.held[source : source + words]
            )
            records = [r & (1 << config.count_bits) - 1 for r in content[:count]]
        needed = -(-count * payload_bits(config)[target] // bench.bits)
        faults += words != needed or any(r > config.group for r in records)
        if random.random() < 0.3 or walk is None:
            walk = some_walk(config)
        blocks = -(-walk.images.count * walk.out[0] * walk.out[1] // config.rows)
        first = random.randrange(walk.groups)
        count = random.randrange(1, min(walk.groups - first, 12) + 1)
        bench.move(walk, random.randrange(blocks), first, count, random.randrange(page - count))
        if config.training:
            _for_training(bench, walk)
        if random.random() < 0.3:
            count = random.randrange(1, config.columns + 1)
            needed = -(-16 * count // config.stream_bytes)
            words = max(1, needed + random.choice((-1, 0, 0, 0, 1)))
            faults += words != needed
            entry = random.randrange(config.settings_pages)
            bench.fill_settings(entry, count, random.randrange(size - words + 1), words)
        if random.random() < 0.3:
            count = random.randrange(1, 9)
            bench.words.queue.append(count << (size - 1).bit_length())
            asked += count
    await bench.done(40_000)
    assert bench.faults == faults
    await until(dut.clk, lambda: len(bench.o.received) == asked, 5_000, "what was read beside")
    assert not (bench.writes or bench.index_writes or bench.settings or bench.dense)
    mask = (1 << bench.bits) - 1
    assert {word & mask for word in bench.o.received} <= set(bench.held[:8])


@cocotb.test()
async def at_full_speed(dut):
    """A group of each lane a cycle, from one ROWS to the next, if there are more groups than lanes
    and none of them in one lane of the memory: with stride 1 and "same" padding, in rows of a
    matrix, and with images abreast. The other half is filled from."""
    bench = await opened(dut)
    config, size = bench.config, bench.config.tensor_words
    bench.fills.pause = bench.rows.pause = 0
    times = 6
    kind = chunks(config)[Target.VALUES]
    words = 8
    slots = words * kind.per_beat // kind.per_word
    beside = -(-slots * payload_bits(config)[Target.INDICES] // bench.bits)
    groups = config.lanes + 1
    tensor = Tensor(config, 0, 3 * config.rows, groups * config.group, config.format.bits)
    square = Images(replace(tensor, rows=9, columns=config.group), 3, 3)
    wide = Images(replace(tensor, rows=20, columns=config.group), 2, 5)
    abreast = Images(
        replace(tensor, rows=20 * config.lanes, columns=config.group), 4, 5, config.lanes
    )
    for walk, tight in (
        (Walk.matrix(config, tensor), True),
        (Walk.convolution(config, square, Kernel((3, 3), padding=(1, 1))), True),
        (Walk.convolution(config, wide, Kernel((2, 3), (1, 2))), config.lanes == 1),
        (Walk.convolution(config, abreast, Kernel((2, 3), (1, 2))), True),
    ):
        least = 0
        for n in range(times):
            blocks = -(-walk.images.count * walk.out[0] * walk.out[1] // config.rows)
            least += bench.move(walk, n % blocks, 0, walk.groups, 0)
            bench.fill(Target.VALUES, 0, slots, size // 2, words, size // 2, beside)
        steps = sum(write is not None for write in bench.row_writes)
        assert (least == steps) == tight
        cycles = 0
        while bench.row_writes:
            await RisingEdge(dut.clk)
            cycles += 1
        # The first window of a ROWS is made while the last one of that before it is read.
        assert cycles <= least + 12 + config.lanes
        await bench.done(2000)
    assert not bench.faults


@cocotb.test()
async def training_at_full_speed(dut):
    """Rows across: a group of each lane a cycle, or a pixel if these are fewer; dense weights: as
    many groups as lanes and columns allow, from one DENSE to the next."""
    bench = await opened(dut)
    config, size = bench.config, bench.config.tensor_words
    if not config.training:
        return
    bench.fills.pause = bench.rows.pause = 0
    lanes, group = config.lanes, config.group
    images = Images(Tensor(config, 0, 4 * 6, 2 * group, config.format.bits), 4, 6)
    tensor = Tensor(config, size // 2, 24, 2 * config.columns, config.format.bits)
    for walk in (
        Walk.matrix(config, images.tensor),
        Walk.convolution(config, images, Kernel((3, 3), padding=(1, 1))),
    ):
        least = slots = 0
        for n in range(4):
            across = Across(walk, 0, 24)
            blocks = -(-walk.groups * group // config.rows)
            least += bench.move_across(across, n % blocks, 0, 3, 0)
            bench.fill_dense(DenseRows(config, tensor, 0, 24), 0, n % 2, 0, 24)
            slots += 24
        steps = sum(write is not None for write in bench.row_writes)
        assert least == max(steps, 4 * 24)
        taken = []
        for left in (bench.row_writes, bench.fill_ends):
            taken.append(cocotb.start_soon(_cycles_until_empty(dut, left)))
        moved, filled = [await each for each in taken]
        assert moved <= least + 14 + lanes
        assert filled <= slots * config.columns // group // config.dense_groups + 14
    assert not bench.faults


async def _cycles_until_empty(dut, left: deque) -> int:
    cycles = 0
    while left:
        await RisingEdge(dut.clk)
        cycles += 1
    return cycles
