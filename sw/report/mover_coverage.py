"""Functional coverage of programs: patterns of access, strides, padding, how rows are stored, and
which engine works beside the others, on a small array in Verilator, exact.

That an engine works beside the others is measured: the same program takes longer if all that the
engine does waits for all before it, and is waited for by all behind it.
"""

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from ...hw.config import Config
from ...hw.formats import INT8, OutputFormat
from ...hw.isa.commands import Command, Copy, Fill, Rows, Run, Sync, Vector
from ...hw.isa.engines import WAIT_BITS, Engine, after
from ...hw.isa.host_stream import packet_of
from ...sim.golden.device import ModelTransport
from ..compiler import nm, packing
from ..compiler.elements import to_raw
from ..compiler.external import ExternalTensor
from ..compiler.program import Builder, Program
from ..compiler.settings import settings_of
from ..compiler.vector_programs import relu
from ..compiler.walks import Images, Kernel, as_matrix
from ..host import programs
from ..host.device import Device
from ..transports.simulated import External, SimulatedTransport
from .cross_coverage import Mismatch

CONFIG = Config(
    *("movers", 2, 4, INT8),
    activation_groups=64,
    weight_slots=64,
    schedule_records=64,
    settings_pages=4,
    tensor_words=2048,
    vector_lanes=2,
    external_bits=14,
)
"""A row of INT8 results of a column block is half a group, one of FP16 a whole one."""
SIDE, IMAGES = 6, 2
"""Pixels of a side, and images."""
ROWS = IMAGES * SIDE * SIDE
"""Of a matrix."""
STORES = {
    "groups": (8, OutputFormat.FP16),
    "parts": (8, OutputFormat.INT8),
    "padded": (6, OutputFormat.INT8),
}
"""How a column block's rows end, with how many columns of which output: with a group, within one
that another block goes on with, or with zeros to its end."""
KINDS: dict[Engine, type[Command]] = {
    Engine.FILL: Fill,
    Engine.ROWS: Rows,
    Engine.VECTOR: Vector,
    Engine.COPY: Copy,
}
"""Descriptors of the engines that can work beside the array."""


class MoverBin(NamedTuple):
    """One cross bin of a program."""

    pattern: str
    """Of access to its activations."""
    stride: int
    padded: bool
    """Zeros surround the images."""
    store: str
    """A key of `STORES`."""
    beside: str
    """The engine that worked beside the others."""


DIMENSIONS: dict[str, tuple] = {
    "pattern": ("matrix", "convolution", "depth-wise"),
    "stride": (1, 2),
    "padded": (False, True),
    "store": tuple(STORES),
    "beside": tuple(engine.name for engine in KINDS),
}
BINS = tuple(
    seen
    for seen in (MoverBin(*values) for values in product(*DIMENSIONS.values()))
    if seen.pattern != "matrix" or (seen.stride, seen.padded) == (1, False)
)
"""A matrix has neither stride nor padding."""
CASES = tuple(dict.fromkeys(seen[:-1] for seen in BINS))


class MoverCoverage:
    """Programs observed, by bin."""

    def __init__(self):
        self.hits: Counter[MoverBin] = Counter()

    def missing(self) -> list[MoverBin]:
        return [seen for seen in BINS if not self.hits[seen]]

    def summary(self) -> dict:
        """What is hit and what is not, as plain values for JSON."""
        missing = self.missing()
        patterns = {}
        for name in DIMENSIONS["pattern"]:
            bins = [seen for seen in BINS if seen.pattern == name]
            patterns[name] = {"bins": len(bins), "hit": sum(self.hits[b] > 0 for b in bins)}
        return {
            "bins": len(BINS),
            "hit": len(BINS) - len(missing),
            "patterns": patterns,
            "missing": [seen._asdict() for seen in missing],
        }


def measure() -> MoverCoverage:
    """Each case is run, compared, and counted for every engine that was seen to overlap.

    Raises `Mismatch` at the first result that is wrong; `DeviceError` if no simulator can be built.
    """
    coverage = MoverCoverage()
    transport = SimulatedTransport(CONFIG, external=External(latency=20))
    with Device(transport) as device, Device(ModelTransport(CONFIG)) as model:
        for case in CASES:
            program, given, result = _program(*case)
            raw = to_raw(np.random.default_rng(4).integers(-20, 21, (ROWS, given.columns)), INT8)
            for each in (device, model):
                programs.load(each, program)
                each.write_memory(given.address, given.to_words(raw), external=True)
            programs.run(model, program)
            expected = model.read_memory(result.address, result.words, external=True)
            taken = []
            for apart in (None, *KINDS):
                commands = program.commands if apart is None else _apart(program.commands, apart)
                packets = replace(program, commands=commands).packets()
                before = transport.cycles
                device.transport.exchange([*packets, packet_of(CONFIG, Sync())])
                taken.append(transport.cycles - before)
                got = device.read_memory(result.address, result.words, external=True)
                if wrong := np.count_nonzero(got != expected):
                    alone = "" if apart is None else f", {apart.name} by itself"
                    raise Mismatch(
                        f"{wrong} bytes of a program of {case}{alone} differ from the golden model"
                    )
            for engine, slower in zip(KINDS, taken[1:], strict=True):
                # The waits themselves cost a command a cycle at most.
                beside = slower - taken[0] > len(program.commands)
                coverage.hits[MoverBin(*case, engine.name)] += beside
    return coverage


def _program(
    pattern: str, stride: int, padded: bool, store: str
) -> tuple[Program, ExternalTensor, ExternalTensor]:
    """From external memory to there; the vector unit does something else beside it."""
    rng = np.random.default_rng(3)
    outputs, output = STORES[store]
    builder = Builder(CONFIG)
    other = builder.tensor(ROWS, 8)
    builder.vector(relu(other, other))
    channels = 24 if pattern == "matrix" else outputs
    given = builder.external(ROWS, channels, packed=True)
    x = builder.tensor(ROWS, channels)
    builder.copy(given, x)
    settings = settings_of(CONFIG, outputs, rng.integers(-9, 10, outputs), 2.0**-4)
    if pattern == "matrix":
        weights = _some(rng, (channels, outputs))
        y = builder.tensor(ROWS, outputs, output.result_bits)
        builder.product(x, weights, settings, True, output, y)
    else:
        images = Images(x, SIDE, SIDE)
        kernel = Kernel((3, 3), (stride, stride), (int(padded), int(padded)))
        height, width = kernel.out(images)
        y = builder.tensor(IMAGES * height * width, outputs, output.result_bits)
        groups = outputs if pattern == "depth-wise" else 1
        taps = rng.integers(1, 4, (3, 3, channels // groups, outputs)).astype(float)
        weights = packing.pack(as_matrix(taps, groups), INT8)
        made = Images(y, height, width)
        builder.convolution(images, kernel, weights, settings, True, output, made)
    result = builder.external(y.rows, outputs, y.bits)
    builder.copy(y, result)
    return builder.program(), given, result


def _some(rng: np.random.Generator, shape: tuple[int, int]) -> packing.PackedWeights:
    return packing.pack(nm.prune(rng.integers(1, 4, shape).astype(float), 2, 8), INT8, 2, 8)


def _apart(commands: list[Command], engine: Engine) -> list[Command]:
    """The commands, but nothing works while this engine does."""
    all_before = after(dict.fromkeys(Engine, 0))
    mine = (1 << WAIT_BITS) - 1 << WAIT_BITS * engine
    made = []
    for command in commands:
        if isinstance(command, KINDS[engine]):
            command = replace(command, waits=all_before)
        elif isinstance(command, Run | Fill | Rows | Vector | Copy):
            waits = command.waits & ~mine | after({engine: 0})
            command = replace(command, waits=waits)
        made.append(command)
    return made
