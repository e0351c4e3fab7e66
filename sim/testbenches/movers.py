"""The filler and the row mover on one memory: every word to its buffer, once, at full speed."""

import random
from collections import deque
from dataclasses import replace

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.maps import address_bits, chunks
from ...sw.compiler.gradients import Across, DenseRows
from ...sw.compiler.kept import Grouped
from ...sw.compiler.tensors import Tensor
from ...sw.compiler.walks import Images, Kernel, Walk
from ...sw.errors import FormatError
from .common import until
from .host_traffic import payload_bits
from .movers_bench import Bench, opened


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
    if random.random() < 0.4:
        lanes, pixels = config.lanes, walk.images.count * walk.out[0] * walk.out[1]
        first = random.randrange(0, pixels, config.group)
        grouped = Grouped(walk, first, min(random.randrange(1, pixels - first + 1), 40))
        block = random.randrange(-(-walk.groups // config.rows))
        # A ROWS begins with the first one of images abreast.
        window = random.randrange(0, grouped.words // lanes, max(1, walk.images.abreast // lanes))
        count = random.randrange(1, grouped.words // lanes - window + 1)
        places = 2 * config.activation_groups // lanes
        place = lanes * random.randrange(places - count)
        bench.move_grouped(grouped, block, window * lanes, count * lanes, place)


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
        if config.training and random.random() < 0.3:
            count = random.randrange(1, config.columns + 1)
            needed = -(-4 * count // config.group_bytes)
            words = max(1, needed + random.choice((-1, 0, 0, 0, 1)))
            entry, source = random.randrange(config.settings_pages), random.randrange(size - words)
            lost = bench.fill_biases(entry, count, source, words)
            faults += lost or words != needed
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
    # A window of 2 x 3 pixels has more groups than there are lanes.
    channels = config.group * (1 + config.lanes // 6)
    wide = Images(replace(tensor, rows=20, columns=channels), 2, 5)
    abreast = Images(replace(tensor, rows=20 * config.lanes, columns=channels), 4, 5, config.lanes)
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
    many groups as lanes and columns allow, from one DENSE to the next; grouped rows: a group of
    each lane a cycle, after R cycles of each ROWS."""
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
        least = 0
        for n in range(4):
            blocks = -(-walk.groups // config.rows)
            least += bench.move_grouped(Grouped(walk, 0, 24), n % blocks, 0, 24, 0)
        assert await _cycles_until_empty(dut, bench.row_writes) <= least + 14 + lanes
    assert not bench.faults


async def _cycles_until_empty(dut, left: deque) -> int:
    cycles = 0
    while left:
        await RisingEdge(dut.clk)
        cycles += 1
    return cycles
