"""Functional coverage of programs: patterns of access, strides, padding, how rows are stored, and
which engine works beside the others, on a small array in Verilator, exact.

That an engine works beside the others is measured: the same program takes longer if all that the
engine does waits for all before it, and is waited for by all behind it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, product
from typing import NamedTuple

import numpy as np

from ...hw.formats import INT8
from ...hw.isa.commands import Command, Run, Sync
from ...hw.isa.descriptors import Copy, Dense, Fill, Rows, Vector
from ...hw.isa.engines import WAIT_BITS, Engine, after
from ...hw.isa.host_stream import packet_of
from ...sim.golden.device import ModelTransport
from ..compiler.elements import to_raw
from ..host import programs
from ..host.device import Device
from ..transports.simulated import External, SimulatedTransport
from .cross_coverage import Mismatch
from .mover_programs import PATTERNS, STORES, Case, program

KINDS: dict[Engine, type[Command] | tuple[type[Command], ...]] = {
    Engine.FILL: (Fill, Dense),
    Engine.ROWS: Rows,
    Engine.VECTOR: Vector,
    Engine.COPY: Copy,
}
"""Descriptors of the engines that can work beside the array."""


class MoverBin(NamedTuple):
    """One cross bin of a program."""

    pattern: str
    stride: int
    padded: bool
    store: str
    beside: str
    """The engine that worked beside the others; the rest is a `Case`."""


DIMENSIONS: dict[str, tuple] = {
    "pattern": tuple(PATTERNS),
    "stride": (1, 2),
    "padded": (False, True),
    "store": tuple(STORES),
    "beside": tuple(engine.name for engine in KINDS),
}
BINS = tuple(
    seen
    for seen in (MoverBin(*values) for values in product(*DIMENSIONS.values()))
    if Case(*seen[:-1]).possible
)
CASES = tuple(dict.fromkeys(Case(*seen[:-1]) for seen in BINS))


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


def measure(on_progress: Callable[[int], None] = lambda done: None) -> MoverCoverage:
    """Each case is run, compared, and counted for every engine that was seen to overlap.

    Raises `Mismatch` at the first result that is wrong; `DeviceError` if no simulator can be built.
    """
    coverage, done = MoverCoverage(), 0
    for config, cases in groupby(CASES, key=lambda case: case.config):
        transport = SimulatedTransport(config, external=External(latency=20))
        with Device(transport) as device, Device(ModelTransport(config)) as model:
            for case in cases:
                for engine in _overlapping(case, device, model):
                    coverage.hits[MoverBin(*case, engine.name)] += 1
                done += 1
                on_progress(done)
    return coverage


def _overlapping(case: Case, device: Device, model: Device) -> list[Engine]:
    """The engines that worked beside the others. Raises `Mismatch`."""
    made, given, result = program(case)
    rng = np.random.default_rng(4)
    for operand in given:
        raw = to_raw(rng.integers(-20, 21, (operand.rows, operand.columns)), INT8)
        for each in (device, model):
            each.write_memory(operand.address, operand.to_words(raw), external=True)
    for each in (device, model):
        programs.load(each, made)
    programs.run(model, made)
    expected = model.read_memory(result.address, result.words, external=True)
    taken = []
    for apart in (None, *KINDS):
        commands = made.commands if apart is None else _apart(made.commands, apart)
        packets = replace(made, commands=commands).packets()
        before = device.transport.carrier.cycles
        device.transport.exchange([*packets, packet_of(case.config, Sync())])
        taken.append(device.transport.carrier.cycles - before)
        got = device.read_memory(result.address, result.words, external=True)
        if wrong := np.count_nonzero(got != expected):
            alone = "" if apart is None else f", {apart.name} by itself"
            raise Mismatch(
                f"{wrong} bytes of a program of {case}{alone} differ from the golden model"
            )
    # The waits themselves cost a command a cycle at most.
    return [
        engine
        for engine, slower in zip(KINDS, taken[1:], strict=True)
        if slower - taken[0] > len(made.commands)
    ]


def _apart(commands: list[Command], engine: Engine) -> list[Command]:
    """The commands, but nothing works while this engine does."""
    all_before = after(dict.fromkeys(Engine, 0))
    mine = (1 << WAIT_BITS) - 1 << WAIT_BITS * engine
    made = []
    for command in commands:
        if isinstance(command, KINDS[engine]):
            command = replace(command, waits=all_before)
        elif isinstance(command, Run | Fill | Dense | Rows | Vector | Copy):
            waits = command.waits & ~mine | after({engine: 0})
            command = replace(command, waits=waits)
        made.append(command)
    return made
