"""Every testbench of `sim/testbenches`, on the configurations that its block must work in."""

from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from heddle.hw.config import Accumulation, Config
from heddle.hw.formats import BF16, E4M3, E5M2, FP16, INT4, INT8
from heddle.hw.lib.library import Library
from heddle.sim import testbenches
from heddle.sim.testbenches.common import environment
from heddle.sim.testbenches.runner import simulate


def config(rows=4, columns=3, format=FP16, **fields) -> Config:
    """A small array with small buffers."""
    sizes = {"activation_groups": 32, "weight_slots": 64, "schedule_records": 32}
    return Config("test", rows, columns, format, **(sizes | fields))


FORMATS = [config(format=format) for format in (INT8, FP16, E4M3, E5M2)]
NARROW, WIDE = config(format=INT4, lanes=2), config(format=BF16)
"""A format of half bytes, and one of a window of exponents: they differ where elements come in."""
FP32 = config(accumulation=Accumulation.FP32, interleave=5)
ARRAYS = [*FORMATS, FP32, config(1, 5), config(5, 1), config(format=INT8, group=16, interleave=3)]
SHORT = config(2, 2, INT8, runs_ahead=2, compact=True)
COMPACT = replace(SHORT, columns_per_epilogue=2)
STREAMS = [
    config(4, 4, INT8),
    config(4, 4, lanes=2),
    config(8, 3, lanes=4, interleave=2, settings_pages=8),
    config(4, 5, INT8, group=16),
]
BEATS = replace(STREAMS[2], schedule_records=128)
"""With two beats of records in a page."""
GROUPS = [
    config(2, 1),
    config(3, 4, columns_per_epilogue=4),
    config(4, 2, INT8, columns_per_epilogue=2, interleave=3, settings_pages=4),
    config(2, 2, accumulation=Accumulation.FP32, interleave=5, columns_per_epilogue=2),
]
TOPS = [
    config(2, 3),
    config(4, 4, INT8, columns_per_epilogue=4),
    config(2, 2, lanes=2, accumulation=FP32.accumulation, interleave=5),
    config(2, 2, lanes=2, tensor_words=128),
]
TENSORS = [config(4, 4, INT8, tensor_words=64), config(4, 4, lanes=2, tensor_words=256)]
"""With tensor memory."""
SHARED = replace(STREAMS[0], tensor_words=64, external_bits=14)
"""Whose external memory is the one that its packets lie in."""
EXTERNAL = [
    config(4, 4, INT8, tensor_words=256, external_bits=14),
    config(8, 3, lanes=4, tensor_words=128, external_bits=14),
]
WINDOWS = config(8, 3, lanes=4, tensor_words=64)
BROAD = config(12, 12, INT8, lanes=4, tensor_words=64)
LARGE = config(128, 128)
"""Whose multiplications soon need a second word to be counted."""
COUNTED = replace(LARGE, tensor_words=64, vector_lanes=1, external_bits=14)
"""With counters of all engines."""
TRAINING = [
    config(8, 16, INT4, lanes=2, tensor_words=512, training=True),
    config(8, 8, INT4, tensor_words=512, training=True),
    config(8, 24, INT8, lanes=2, tensor_words=512, training=True),
    config(16, 16, lanes=2, tensor_words=512, training=True),
    config(8, 32, INT8, lanes=8, tensor_words=512, training=True),
    config(8, 4, group=4, tensor_words=512, training=True),
]
"""For training: a cycle brings dense weights of two groups of columns, of one, and of four."""
PRUNING = [
    config(8, 8, lanes=2, tensor_words=1024, vector_lanes=2, training=True),
    config(8, 16, E4M3, lanes=4, tensor_words=1024, vector_lanes=1, training=True),
    config(16, 16, group=16, tensor_words=2048, vector_lanes=1, training=True),
    config(8, 24, E5M2, lanes=8, tensor_words=1024, vector_lanes=1, training=True),
    config(8, 4, group=4, tensor_words=1024, vector_lanes=1, training=True),
]
"""With a pruner."""
VECTORS = [
    config(4, 4, lanes=2, tensor_words=512, vector_lanes=4),
    config(4, 5, INT8, group=16, tensor_words=256, vector_lanes=1),
    config(4, 4, lanes=4, tensor_words=512, vector_lanes=8),
]
"""With a vector unit."""
BESIDE = [
    *TENSORS,
    config(4, 4, E4M3, lanes=2, tensor_words=256, columns_per_epilogue=2),
    config(8, 6, INT4, lanes=4, tensor_words=256, columns_per_epilogue=2),
]
"""With side operands of each width, on several lanes, for columns with and without a turn."""
SWEEPS = [FORMATS[3], ARRAYS[6], *VECTORS[1:], *PRUNING[1:], *TRAINING[1:], BESIDE[3], EXTERNAL[1]]
"""What only `make test-full` runs."""
SLOW = [
    ("memory_top", STREAMS[2]),
    ("link", STREAMS[0]),
    ("sequencer", BEATS),
    ("sequencer", TENSORS[1]),
    ("registers", LARGE),
    ("reset", COMPACT),
    ("top", TOPS[0]),
    ("top", TOPS[2]),
    ("lane_group", GROUPS[1]),
    ("issuer", STREAMS[1]),
    ("feeders", STREAMS[1]),
    ("response", TENSORS[1]),
    ("movers", TENSORS[1]),
    ("side", WINDOWS),
    ("store", TENSORS[0]),
    ("epilogue", BESIDE[0]),
    ("response", STREAMS[2]),
    ("issuer", STREAMS[2]),
    ("feeders", STREAMS[2]),
]
"""So are these benches: others have the same blocks, with other numbers."""
RESETS = [config(4, 6, E5M2), COMPACT]

RUNS = [
    (
        "selector",
        "hw.array.selector:Selector",
        [*FORMATS, *(config(group=m) for m in (4, 16)), TRAINING[1]],
    ),
    (
        "pe",
        "hw.array.pe:ProcessingElement",
        [*FORMATS, WIDE, FP32, replace(FP32, format=BF16), config(group=16, interleave=2)],
    ),
    ("array", "hw.array.array:Array", ARRAYS),
    (
        "feeders",
        "hw.buffers.activations:ActivationFeeder",
        [*FORMATS, NARROW, WIDE, *STREAMS, *TRAINING],
    ),
    ("feeders", "hw.buffers.weights:WeightFeeder", [*FORMATS, NARROW, *STREAMS, *TRAINING]),
    ("lane_group", "hw.output.lane_group:LaneGroup", [*GROUPS, COMPACT, *BESIDE[1:]]),
    ("epilogue", "hw.output.epilogue:Epilogue", [*FORMATS, COMPACT, *BESIDE[:3]]),
    (
        "response",
        "sim.testbenches.response:Answers",
        [STREAMS[2], config(2, 9, E4M3), COMPACT, *TENSORS],
    ),
    ("long_response", "sim.testbenches.response:Answers", [COMPACT]),
    ("sequencer", "hw.control.sequencer:Sequencer", [STREAMS[0], BEATS, SHORT, *TENSORS]),
    ("registers", "hw.control.registers:Registers", [LARGE, COUNTED]),
    ("top", "hw.top:Accelerator", TOPS),
    ("reset", "hw.top:Accelerator", RESETS),
    ("counters", "hw.top:Accelerator", RESETS[:1]),
    ("tensor", "sim.testbenches.tensor:Tensors", TENSORS),
    ("store", "hw.tensor.store:Store", [TENSORS[0], WINDOWS, BROAD]),
    ("side", "sim.testbenches.side:Beside", [*BESIDE, WINDOWS]),
    ("movers", "sim.testbenches.movers_bench:Movers", [*TENSORS, WINDOWS, *TRAINING]),
    ("copy", "sim.testbenches.copy:Copies", EXTERNAL),
    ("axi_ram", "sim.testbenches.axi_ram:ram", [replace(EXTERNAL[0], external_bits=12)]),
    ("memory_top", "hw.memory_top:MemoryAccelerator", [SHARED, STREAMS[2]]),
    ("vector_lane", "sim.testbenches.vector_lane:lane", [STREAMS[0]]),
    ("vector", "hw.vector.unit:VectorUnit", VECTORS),
    ("pruner", "hw.prune.pruner:Pruner", PRUNING),
    ("vector_engine", "hw.prune.engine:VectorEngine", PRUNING),
    ("uart", "sim.testbenches.uart:Uart", [STREAMS[0]]),
    ("link", "sim.testbenches.link_bench:link", [STREAMS[0], STREAMS[2]]),
    (
        "issuer",
        "sim.testbenches.issuer:ReaderAndIssuer",
        [*STREAMS, config(interleave=4), COMPACT, TRAINING[1]],
    ),
]
"""Testbench, component, configurations."""


def is_slow(bench: str, configuration: Config) -> bool:
    return configuration in SWEEPS or (bench, configuration) in SLOW


def identify(value) -> str:
    if isinstance(value, Config):
        return (
            f"{value.rows}x{value.columns}-{value.format.name}-m{value.group}-t{value.interleave}"
            f"-l{value.lanes}-{value.accumulation.name.lower()}"
        )
    return value.partition(":")[2] or value


@pytest.mark.parametrize(
    ("bench", "component", "configuration"),
    [
        pytest.param(bench, component, c, marks=[pytest.mark.slow] * is_slow(bench, c))
        for bench, component, configs in RUNS
        for c in configs
    ],
    ids=identify,
)
def test_block(bench, component, configuration):
    module, _, name = component.partition(":")
    factory = getattr(import_module(f"heddle.{module}"), name)
    module = f"heddle.sim.testbenches.{bench}"
    # As the device is generated: what its library instantiates has no reset where it needs none.
    library = Library() if "library" in signature(factory).parameters else None
    block = factory(configuration, library) if library else factory(configuration)
    simulate(block, module, name, environment(configuration), library)


def test_every_testbench_is_run():
    folder = Path(str(testbenches.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py") if "@cocotb.test" in path.read_text()}
    assert modules == {bench for bench, _, _ in RUNS}
