"""Programs have no races: whichever way their engines go, as far as the waits let them, the result
is the same; and without any one of the waits it is not, unless the others imply it."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16, INT8, OutputFormat
from heddle.hw.isa.codes import Opcode, Target
from heddle.hw.isa.commands import Sync, Write
from heddle.hw.isa.descriptors import Copy, Dense, Fill
from heddle.hw.isa.engines import WAIT_BITS, Engine, after
from heddle.hw.isa.host_stream import packet_of
from heddle.sim.golden import schedules
from heddle.sim.golden.schedules import OUT
from heddle.sim.testbenches import traffic
from heddle.sw.compiler import packing
from heddle.sw.compiler.backward import TrainingBuilder
from heddle.sw.compiler.program import Builder, Program
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.transposed import pixel_phases
from heddle.sw.compiler.vector_programs import residual
from heddle.sw.compiler.walks import Images, Kernel, as_matrix
from heddle.sw.nn import data
from heddle.sw.nn.network import CONVOLUTIONS, Network
from heddle.sw.nn.programs import compiled

from .devices import tile

CONFIG = Config(
    *("schedules", 2, 8, INT8),
    activation_groups=16,
    weight_slots=16,
    schedule_records=16,
    tensor_words=512,
    vector_lanes=2,
    external_bits=14,
)
"""A row of its results fills a group, so that no two RUNs write to the same one."""


def written(config: Config, program: Program, rng: np.random.Generator) -> list[bytes]:
    """Packets that fill the memories at random, but with what the program needs."""
    size = config.stream_bytes
    random = rng.integers(0, 100, config.tensor_words * size, np.uint8).tobytes()
    content = [(0, random, 0), *((at, words, 0) for at, words in program.image)]
    if config.external_bits:
        content += [(0, random, 1), *((at, words, 1) for at, words in program.external)]
    return [
        packet_of(config, Write(at, len(words) // size, external), words)
        for at, words, external in content
    ]


def some_weights(rng: np.random.Generator, shape: tuple[int, int], format=INT8):
    """In each group as many as it happens: hardly two records or indices are alike."""
    groups = -(-shape[0] // 8)
    places = rng.random((groups, 8, shape[1])).argsort(axis=1)
    kept = (places < rng.integers(1, 9, (groups, 1, 1))).reshape(-1, shape[1])[: shape[0]]
    return packing.pack(rng.integers(1, 4, shape) * kept.astype(float), format)


def test_the_order_of_events():
    """Three COPYs and a FILL behind the second one; a RUN behind that, and a COPY behind the RUN's
    rows: all of it by hand."""
    run = tile(after({Engine.FILL: 0}))
    copy = Copy(external=0, row_bytes=8, tensor=0)
    fill = Fill(Target.VALUES, 0, 1, 0, 1, waits=after({Engine.COPY: 1}))
    back = replace(copy, outward=1, waits=after({Engine.STORE: 0, Engine.ROWS: 0}))
    events = schedules.events_of([copy, copy, copy, fill, Sync(), run, back])
    assert [(event.queue, event.place) for event in events] == [
        (Engine.COPY, 0),
        (Engine.COPY, 1),
        (Engine.COPY, 2),
        (Engine.FILL, 0),
        (Engine.ARRAY, 0),
        (OUT, 0),
        (Engine.STORE, 0),
        (Engine.COPY, 3),
    ]
    before = [dict(enumerate(clock)) for clock in schedules.clocks(events)]
    named = [{queue: n for queue, n in clock.items() if n} for clock in before]
    assert named[2:] == [
        {Engine.COPY: 2},
        {Engine.COPY: 2},
        {Engine.COPY: 2, Engine.FILL: 1},
        {Engine.COPY: 2, Engine.FILL: 1, Engine.ARRAY: 1},
        {Engine.COPY: 2, Engine.FILL: 1, Engine.ARRAY: 1, OUT: 1},
        {Engine.COPY: 3, Engine.FILL: 1, Engine.ARRAY: 1, OUT: 1, Engine.STORE: 1},
    ]
    rank = schedules.hurried(5)(events)
    assert [event.number for event in events if not rank[event.number]] == [0, 1, 3, 4, 5]
    assert schedules.late(Engine.COPY)(events)[0] > schedules.late(Engine.COPY)(events)[3]
    assert schedules.early(Engine.COPY)(events)[0] < schedules.early(Engine.COPY)(events)[3]


def small_program(streamed: bool) -> Program:
    """Something of everything: copies, two products, one with an addend and a mask, exact sums, the
    vector unit."""
    rng = np.random.default_rng(3)
    builder = Builder(CONFIG, streamed)
    given, other = (builder.external(5, 20, packed=True) for _ in range(2))
    result = builder.external(5, 12)
    x, more = (builder.tensor(5, 20) for _ in range(2))
    middle, y = builder.tensor(5, 16), builder.tensor(5, 12)
    mask, beside, sums = builder.tensor(5, 12), builder.tensor(5, 16), builder.raw(5, 12)
    settings = [settings_of(CONFIG, n, rng.integers(0, 999, n), 2**-6) for n in (16, 12, 12)]
    first, second, third = (some_weights(rng, shape) for shape in ((20, 16), (16, 12), (20, 12)))
    builder.copy(given, x)
    builder.copy(other, more)
    builder.product(x, first, settings[0], True, OutputFormat.INT8, middle)
    builder.product(more, third, settings[2], False, OutputFormat.RAW, sums)
    builder.vector(residual(middle, beside, middle, (0.5, 1.0), False))
    builder.product(middle, second, settings[1], False, OutputFormat.INT8, y, sums, mask)
    builder.copy(y, result)
    return builder.program()


@pytest.mark.parametrize("streamed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_program_of_everything(streamed):
    """Each event once before all that it need not come after: with the program's own order that is
    both orders of any two that need not wait for each other."""
    program = small_program(streamed)
    packets = written(CONFIG, program, np.random.default_rng(4)) + program.packets()
    orders = chain(
        schedules.every_extreme(),
        ((f"shuffled {seed}", schedules.shuffled(seed)) for seed in range(5)),
        schedules.every_hurry(program.commands),
    )
    assert schedules.races(CONFIG, packets, orders) == []


def test_every_wait_counts():
    """Each is left out once: either the other waits imply it, or a schedule ends otherwise."""
    program = small_program(streamed=True)
    before = written(CONFIG, program, np.random.default_rng(5))
    events = schedules.events_of(program.commands)
    implied = caught = 0
    for place, command in enumerate(program.commands):
        for engine in Engine:
            part = (1 << WAIT_BITS) - 1 << WAIT_BITS * engine
            waits = getattr(command, "waits", 0)
            if not waits & part:
                continue
            commands = list(program.commands)
            commands[place] = replace(command, waits=waits & ~part)
            without = schedules.events_of(commands)
            mine = [n for n, event in enumerate(events) if event.command is command]
            needed = dict(events[mine[0]].needs)[engine]
            if schedules.clocks(without)[mine[0]][engine] >= needed:
                implied += 1
                continue
            packets = before + replace(program, commands=commands).packets()
            orders = [(str(n), schedules.hurried(without[n].number)) for n in mine]
            assert schedules.races(CONFIG, packets, orders), f"{command} without {engine.name}"
            caught += 1
    assert caught > 20 and implied > 20, (caught, implied)


@pytest.mark.parametrize(
    "kernel",
    [Kernel((3, 3), padding=(1, 1)), Kernel((3, 2), stride=(2, 1)), Kernel((1, 1))],
    ids=str,
)
@pytest.mark.parametrize("lanes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_convolutions(kernel, lanes):
    """Of a convolution's result, with its own input beside it."""
    config = replace(CONFIG, lanes=lanes, rows=4, tensor_words=1024, weight_slots=64)
    rng = np.random.default_rng(6)
    builder = Builder(config)
    given = builder.external(2 * 7 * 4, 8, packed=True)
    images = Images(builder.tensor(2 * 7 * 4, 8), 7, 4)
    builder.copy(given, images.tensor)
    for relu_too in (True, False):
        height, width = kernel.out(images)
        made = Images(builder.tensor(2 * height * width, 8), height, width)
        matrix = as_matrix(rng.integers(-1, 2, (*kernel.size, 8, 8)).astype(float))
        weights = packing.pack(matrix, INT8)
        beside = made if made.tensor.rows == images.tensor.rows else None
        added = images if beside else None
        settings, output = settings_of(config, 8, scale=0.25), OutputFormat.INT8
        builder.convolution(images, kernel, weights, settings, relu_too, output, made, added)
        images = made
    program = builder.program()
    packets = written(config, program, rng) + program.packets()
    orders = schedules.every_extreme() + schedules.every_hurry(program.commands, 9)
    assert schedules.races(config, packets, orders) == []


def test_gradients():
    """Of a convolution in chunks, whose sums go out between them; then a transposed convolution, as
    in a layer's step backwards."""
    config = replace(CONFIG, rows=8, tensor_words=1024, training=True)
    rng, builder = np.random.default_rng(9), TrainingBuilder(config)
    kernel = Kernel((2, 2), stride=(2, 2))
    x = Images(builder.tensor(2 * 8 * 6, 8), 8, 6)
    dy = Images(builder.tensor(2 * 4 * 3, 8), 4, 3)
    dw, dx = builder.tensor(2 * 2 * 8, 8, 32), Images(builder.tensor(2 * 8 * 6, 8), 8, 6)
    above, settings = builder.tensor(2 * 4 * 3, 8), settings_of(config, 8, scale=0.25)
    back = some_weights(rng, (8, 8))
    builder.product(above, back, settings, False, OutputFormat.INT8, dy.tensor)
    builder.gradient(x, dy, dw, kernel)
    w = rng.integers(-1, 2, (*kernel.size, 8, 8)).astype(float)
    weights = [packing.pack(phase.matrix(w), INT8) for phase in pixel_phases(kernel, 8, 6)]
    builder.convolution_transposed(dy, kernel, weights, settings, OutputFormat.INT8, dx)
    program = builder.program()
    packets = written(config, program, rng) + program.packets()
    orders = schedules.every_extreme() + schedules.every_hurry(program.commands, 5)
    assert schedules.races(config, packets, orders) == []
    without = [replace(c, waits=0) if isinstance(c, Dense) else c for c in program.commands]
    packets = written(config, program, rng) + replace(program, commands=without).packets()
    assert schedules.races(config, packets, orders)


def test_the_network_of_convolutions():
    """The shipped one, two images, its input in external memory: each engine late, at random, and
    some events hurried."""
    config = preset("small", external_bits=16)
    network = Network.load(CONVOLUTIONS)
    made = compiled(network, config, 2, channels=1)
    rng, size = np.random.default_rng(7), config.stream_bytes
    images = data.load(network.data).first(2).test_x
    packets = written(config, made.program, rng)
    (given,) = made.entries
    words = given.to_words(made.raw(images)).tobytes()
    packets.append(packet_of(config, Write(given.address, len(words) // size, 1), words))
    packets += made.program.packets()
    orders = [
        *schedules.every_extreme()[::2],
        *((f"shuffled {seed}", schedules.shuffled(seed)) for seed in range(3)),
        *schedules.every_hurry(made.program.commands, 199),
    ]
    assert schedules.races(config, packets, orders) == []


def test_random_programs():
    """Of any shape, with pages that they do not fit into, and results that others overwrite."""
    config = preset("tiny", activation_groups=16, weight_slots=16, tensor_words=2048)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        builder = Builder(config)
        widths = rng.integers(1, 40, 4)
        rows = int(rng.integers(1, 20))
        tensor = builder.tensor(rows, int(widths[0]))
        for inner, outputs in zip(widths, widths[1:], strict=False):
            made = builder.tensor(rows, int(outputs))
            weights = some_weights(rng, (int(inner), int(outputs)))
            settings = settings_of(config, int(outputs), scale=0.1)
            builder.product(tensor, weights, settings, True, OutputFormat.INT8, made)
            builder.free(tensor)
            tensor = made
        program = builder.program()
        packets = written(config, program, rng) + program.packets()
        orders = [
            *schedules.every_extreme(),
            *((f"shuffled {n}", schedules.shuffled(n)) for n in range(3)),
            *schedules.every_hurry(program.commands, 29),
        ]
        assert schedules.races(config, packets, orders) == []


def test_random_commands():
    """Those that wait for all before them are in order, whatever they are."""
    config = replace(CONFIG, name="ordered", format=FP16)
    rng = np.random.default_rng(8)
    packets = [traffic.command(config, rng, ordered=True) for _ in range(200)]
    orders = [(str(seed), schedules.shuffled(seed)) for seed in range(5)]
    assert schedules.races(config, packets, orders) == []
    # And those that do not are not: a WRITE, then nothing that a host must wait for.
    packets = [traffic.command(config, rng, faults=0) for _ in range(1200)]
    movers = [
        packet for packet in packets if packet[0] in (Opcode.FILL, Opcode.COPY, Opcode.VECTOR)
    ]
    size = config.tensor_words
    content = rng.integers(0, 4, size * config.stream_bytes, np.uint8).tobytes()
    packets = [packet_of(config, Write(0, size), content), *movers]
    assert schedules.races(config, packets, orders)
