"""What a device counts of its engines while programs run, against sums over the programs' own
commands and tensors, with and without stalls on every stream."""

from collections.abc import Iterator

import numpy as np
import pytest

from heddle.hw.formats import OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.commands import Command, Sync
from heddle.hw.isa.descriptors import Copy, Fill, Rows
from heddle.hw.isa.engines import Engine, after
from heddle.hw.isa.host_stream import packet_of
from heddle.sw.compiler import nm, packing
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.vector_programs import relu
from heddle.sw.host import programs
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import External

from .devices import DEVICES, TINY, tile
from .test_copy import ONE, simulated

ENGINES = ("fill", "rows", "vector", "copy")
NAMES = ("fill", "rows", "array", "store", "vector", "copy")


@pytest.fixture(params=["simulated", "stalled"])
def device(request):
    with Device(DEVICES[request.param](TINY), "counted") as device:
        yield device


@pytest.fixture
def copies():
    """A device whose external memory is slow to answer."""
    with Device(simulated(ONE, external=External(latency=700)), "copies") as device:
        yield device


def check(counted: dict[str, int]):
    """Each cycle in which anything is under way is the array's work, or has one cause; no engine
    does more than one thing at a time."""
    issued = counted["slots"] + counted["stall_drain"] + counted["stall_output"]
    running = counted["running"]
    causes = ("records", "fill", "settings", "rows", "store", "vector", "copy")
    causes = (*causes, "commands", "host", "end")
    assert issued + sum(counted.get(f"array_{cause}", 0) for cause in causes) == running
    for engine in ENGINES:
        waits = sum(counted.get(f"{engine}_{other}", 0) for other in NAMES)
        busy, memory = counted.get(f"{engine}_busy", 0), counted.get(f"{engine}_memory", 0)
        assert memory <= busy and busy + waits <= running
    assert counted["store_busy"] + counted["store_array"] <= running
    assert counted["cycles"] <= running <= counted["total"]


def run(device: Device, commands: list[Command]) -> dict[str, int]:
    packets = [packet_of(device.config, command) for command in (*commands, Sync())]
    device.clear()
    for packet, answer in zip(packets, device.transport.exchange(packets), strict=True):
        answer_of(device.config, answer).check(packet)
    counted = device.counters() | device.engine_counters()
    check(counted)
    return counted


def layers(device: Device, rng: np.random.Generator, rows: int, *widths: int) -> Builder:
    """Products of INT8, one after another, the last result halved by the vector unit."""
    config = device.config
    builder = Builder(config)
    tensor = builder.tensor(rows, widths[0])
    for inner, outputs in zip(widths, widths[1:], strict=False):
        w = nm.prune(rng.choice([-1.0, 1.0], (inner, outputs)), int(rng.integers(1, 9)), 8)
        result = builder.tensor(rows, outputs)
        weights, settings = packing.pack(w, config.format), settings_of(config, outputs)
        builder.product(tensor, weights, settings, True, OutputFormat.INT8, result)
        tensor = result
    builder.vector(relu(tensor, builder.tensor(rows, widths[-1])))
    return builder


def of(commands: list[Command], kind: type) -> Iterator:
    return (command for command in commands if isinstance(command, kind))


@pytest.mark.parametrize("seed", range(4))
def test_words_are_those_of_the_program(device, seed):
    """One lane, so a word is a group: of ROWS those of rows that there are, of RUNs one for each
    row and column block of four bytes, and the vector unit reads and writes each group once."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 40))
    widths = [int(n) for n in rng.integers(1, 60, int(rng.integers(2, 5)))]
    program = layers(device, rng, rows, *widths).program()
    programs.load(device, program)
    counted = programs.run(device, program)
    check(counted)
    commands = program.commands
    fills = sum(fill.words + fill.index_words for fill in of(commands, Fill))
    moved = sum(move.groups * min(move.rows, 4) for move in of(commands, Rows))
    stored = rows * sum(-(-width // 4) for width in widths[1:])
    groups = rows * -(-widths[-1] // 8)
    assert (counted["fill_words"], counted["rows_words"]) == (fills, moved)
    assert counted["store_busy"] == stored
    # A word is an instruction.
    program_words = sum(command.instructions for command in commands if command.opcode == 11)
    assert counted["vector_read"] == groups + program_words
    assert counted["vector_written"] == groups
    assert not any(counted[name] for name in ("side_words", "host_read", "host_written"))
    assert {name for name in counted if "copy" in name or "external" in name} == set()


def test_words_of_the_host(device):
    device.clear()
    device.write_memory(100, bytes(37 * 8))
    device.read_memory(90, 23)
    counted = device.engine_counters()
    assert (counted["host_written"], counted["host_read"]) == (37, 23)
    assert counted["running"] == counted["rows_words"] == 0
    device.clear()
    assert not any(device.engine_counters().values())


def test_side_operands(device):
    """An addend and a mask, a word for each row and group that a column block reaches into."""
    config, rng = device.config, np.random.default_rng(5)
    builder = Builder(config)
    x, addend, mask, y = (builder.tensor(10, n) for n in (16, 12, 12, 12))
    weights = packing.pack(rng.choice([-1.0, 1.0], (16, 12)), config.format)
    settings = settings_of(config, 12)
    builder.product(x, weights, settings, False, OutputFormat.INT8, y, addend, mask)
    program = builder.program()
    programs.load(device, program)
    counted = programs.run(device, program)
    check(counted)
    assert counted["side_words"] == 2 * 10 * 3 and counted["store_busy"] == 10 * 3


def test_a_run_that_waits_for_the_vector_unit(device):
    """The array waits for as long as the vector unit takes; nobody else waits."""
    builder = Builder(device.config)
    x, y = builder.tensor(64, 64), builder.tensor(64, 64)
    builder.vector(relu(x, y))
    program = builder.program()
    programs.load(device, program)
    fill = Fill(Target.SCHEDULE, 0, 8, 0, 1)
    counted = run(device, [*program.commands, fill, tile(after({Engine.VECTOR: 0}))])
    busy = counted["vector_busy"]
    assert busy > 512  # as many groups
    # The RUN and its FILL come a few beats, or pauses, after the VECTOR.
    assert busy - 60 < counted["array_vector"] <= busy
    assert not any(counted[name] for name in ("fill_array", "fill_rows", "rows_array", "rows_fill"))


def test_who_of_two_waits_for_the_other(device):
    """FILL waits for ROWS and the array for FILL: neither counts as waiting for both."""
    rows = [Rows(source=0, rows=4, words=64, groups=16, address=16 * n) for n in range(4)]
    fill = Fill(Target.SCHEDULE, 0, 8, 0, 1, waits=after({Engine.ROWS: 0}))
    both = after({Engine.ROWS: 0, Engine.FILL: 0})
    counted = run(device, [*walks(device.config), *rows, fill, tile(both)])
    assert counted["rows_words"] == 4 * 4 * 16
    # Of two engines that a RUN waits for the first counts.
    assert counted["array_rows"] == 0 and counted["array_fill"] > 100
    assert counted["fill_rows"] > 100 and counted["rows_fill"] == 0


def walks(config) -> list[Command]:
    """IMAGE of a matrix of 16 groups a row."""
    builder = Builder(config)
    x, y = builder.tensor(4, 128), builder.tensor(4, 4)
    weights = packing.pack(np.ones((128, 4)), config.format)
    builder.product(x, weights, settings_of(config, 4), False, OutputFormat.INT8, y)
    return [command for command in builder.program().commands if command.opcode == 9]


def test_readers_of_one_half_wait_and_those_of_two_do_not(device):
    rows = [Rows(source=0, rows=4, words=64, groups=16, address=16 * n) for n in range(4)]
    images, half = walks(device.config), device.config.tensor_words // 2
    waited = {}
    for source in (half, half - 128):
        counted = run(device, [Fill(Target.VALUES, 0, 256, source, 128), *images, *rows])
        assert (counted["fill_words"], counted["rows_words"]) == (128, 256)
        waited[source] = counted["fill_memory"] + counted["rows_memory"]
    # Whenever both ask one waits, in turn: twice at most for each of the filler's words.
    assert waited[half] == 0 and 64 < waited[half - 128] <= 256


def test_readers_of_one_port_wait(device):
    builder = Builder(device.config)
    builder.vector(relu(builder.tensor(64, 64), builder.tensor(64, 64)))
    program = builder.program()
    programs.load(device, program)
    fill = Fill(Target.VALUES, 0, 256, 0, 128)
    alone = run(device, program.commands)
    assert alone["vector_memory"] == 0
    both = run(device, [*program.commands, fill])
    assert both["fill_memory"] + both["vector_memory"] > 10
    assert both["vector_read"] == alone["vector_read"]


def test_column_settings_have_a_cause_of_their_own(device):
    settings = Fill(4, 0, 4, 0, 8)
    counted = run(device, [settings] * 6 + [tile(after({Engine.FILL: 0}))])
    assert counted["array_settings"] > 20 and counted["array_fill"] < 10
    assert counted["fill_words"] == 6 * 8


def test_external_memory_that_is_slow(copies):
    """Its latency of 700 cycles, there and back, is nobody else's; every beat is counted once."""
    copies.write_memory(0, bytes(256 * 8))
    copies.write_memory(0, bytes(64 * 8), external=True)
    run(copies, [])  # until that is acknowledged
    inward = Copy(whole=True, external=0, row_bytes=160, rows=1, tensor=4, pitch=20)
    fill = Fill(Target.SCHEDULE, 0, 8, 0, 1, waits=after({Engine.COPY: 0}))
    counted = run(copies, [inward, fill])
    assert (counted["external_read"], counted["copy_written"]) == (20, 20)
    assert (counted["external_written"], counted["copy_read"]) == (0, 0)
    assert 690 < counted["copy_external"] < 730 and counted["copy_memory"] == 0
    assert 0 <= counted["copy_busy"] - counted["fill_copy"] < 40
    assert counted["array_end"] > 700
    outward = Copy(outward=True, whole=True, external=64, row_bytes=80, rows=1, tensor=4, pitch=10)
    counted = run(copies, [outward])
    assert (counted["external_written"], counted["copy_read"]) == (10, 10)
    assert (counted["external_read"], counted["copy_written"]) == (0, 0)
    assert 690 < counted["copy_external"] < 730
