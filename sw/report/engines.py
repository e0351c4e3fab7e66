"""Where a program's cycles went: what each engine did, whom it waited for, and what limits."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.isa.commands import Command, Run
from ...hw.isa.descriptors import Fill, Rows
from ...hw.isa.engine_counters import CAUSES as ARRAY_CAUSES
from ...hw.isa.engines import Engine
from ..host.device import Device
from ..nn.network import Network
from ..nn.programs import NetworkProgram, compiled

WORK, DRAIN, OUTPUT = "work", "drain", "output"
CAUSES = {
    WORK: "slots of weights are issued",
    DRAIN: "a tile waits until the sums of the one before have drained",
    OUTPUT: "a tile waits for room for its results",
    **{name.removeprefix("array_"): text for name, text in ARRAY_CAUSES.items()},
}
"""What the array does in a cycle in which anything is under way, or why it does nothing."""
ENGINES = {e.name.lower(): e for e in (Engine.FILL, Engine.ROWS, Engine.VECTOR, Engine.COPY)}
"""Those that work on descriptors of their own beside the array."""
PORTS = {
    "read 0": {"ROWS": "rows_words", "host": "host_read"},
    "read 1": {
        "FILL": "fill_words",
        "side": "side_words",
        "VECTOR": "vector_read",
        "COPY": "copy_read",
    },
    "write": {
        "STORE": "store_busy",
        "VECTOR": "vector_written",
        "COPY": "copy_written",
        "host": "host_written",
    },
    "external read": {"COPY": "external_read"},
    "external write": {"COPY": "external_written"},
}
"""Of tensor memory and of external memory: who uses it, by the counter of its words."""
MOSTLY = 0.97
"""The array's work limits, from this share of the cycles on."""


@dataclass(frozen=True)
class EngineTime:
    """Cycles of an engine: at work, of these for tensor memory, and waiting, by whom it is for."""

    busy: int
    memory: int
    waits: dict[str, int]


@dataclass(frozen=True)
class Traffic:
    """Words that one user moves through a port, whole or parts of them."""

    port: str
    user: str
    words: int
    bytes: int
    least: int | None
    """Words that there are to be moved, each once; of some users that is not known."""


@dataclass(frozen=True)
class Explained:
    """A program, or one layer of it alone."""

    name: str
    cycles: int
    """In which anything was under way; 0 if the device counts no engines."""
    between: int
    """From the first slot to the last result."""
    causes: dict[str, int]
    """By `CAUSES`, together `cycles`."""
    engines: dict[str, EngineTime]
    traffic: list[Traffic]
    largest: str
    """The cause that takes most of the cycles, work apart."""
    limit: str
    """What limits, in a sentence."""

    def plain(self) -> dict:
        """As plain values for JSON."""
        return asdict(self)


def explain(network: Network, device: Device, x: np.ndarray) -> list[Explained]:
    """Run `network` on inputs `x` [rows, inputs] as one program, and each of its layers alone:
    these first, the whole last. How long a layer takes does not depend on values, so alone it
    multiplies zeros.

    Raises `FormatError` if the device cannot run it.
    """
    config, rows = device.config, len(x)
    explained, least = [], {}
    for number in range(len(network.layers)):
        made = compiled(network, config, rows, layers=range(number, number + 1))
        made.load(device)
        _, counters = made.run_raw(device, *map(_zeros, made.entries))
        own = _least(made.program.commands)
        explained.append(of_counters(config, f"layer {number}", counters, own))
        least = {name: least.get(name, 0) + words for name, words in own.items()}
    whole: NetworkProgram = compiled(network, config, rows)
    whole.load(device)
    _, counters = whole.run(device, x)
    made = of_counters(config, "the program", counters, least)
    return [*explained, replace(made, limit=made.limit + _where(made, explained))]


def of_counters(
    config: Config, name: str, counters: Mapping[str, int], least: Mapping[str, int]
) -> Explained:
    """What a device of `config` counted of a program; `least` are the words that each of some
    counters had to be."""
    counted = {WORK: "slots", DRAIN: "stall_drain", OUTPUT: "stall_output"}
    counted = {cause: counted.get(cause, f"array_{cause}") for cause in CAUSES}
    causes = {cause: counters[name] for cause, name in counted.items() if name in counters}
    engines = {
        engine: EngineTime(
            counters[f"{engine}_busy"],
            counters[f"{engine}_memory"],
            {
                other.name.lower(): counters[f"{engine}_{other.name.lower()}"]
                for other in Engine
                if f"{engine}_{other.name.lower()}" in counters
            },
        )
        for engine in ENGINES
        if f"{engine}_busy" in counters
    }
    engines["store"] = EngineTime(counters["store_busy"], 0, {"array": counters["store_array"]})
    traffic = [
        Traffic(
            port,
            user,
            counters[counter],
            counters[counter] * config.stream_bytes,
            least.get(counter),
        )
        for port, users in PORTS.items()
        for user, counter in users.items()
        if counters.get(counter)
    ]
    others = {cause: cycles for cause, cycles in causes.items() if cause != WORK}
    largest = max(others, key=others.__getitem__) if any(others.values()) else ""
    cycles = counters["running"]
    made = Explained(name, cycles, counters["cycles"], causes, engines, traffic, largest, "")
    return replace(made, limit=_limit(config, made)) if cycles else made


def _where(made: Explained, layers: list[Explained]) -> str:
    """Which layer has most of what a program waits for, if alone it does so too."""
    if not made.limit or made.causes[WORK] >= MOSTLY * made.cycles:
        return ""
    most = max(layers, key=lambda layer: layer.causes[made.largest])
    cycles = most.causes[made.largest]
    if 4 * cycles < made.causes[made.largest]:
        return ""
    return f". {most.name.capitalize()} alone waits {cycles:,} cycles for that"


def _zeros(tensor) -> np.ndarray:
    return np.zeros((tensor.rows, tensor.columns), f"u{max(8, tensor.bits) // 8}")


def _least(commands: Iterable[Command]) -> dict[str, int]:
    """Words of a layer's weights, of its input and of its result, by who moves them."""
    words: dict[str, set[int]] = {"fill_words": set(), "rows_words": set(), "store_busy": set()}
    for command in commands:
        match command:
            case Fill():
                words["fill_words"] |= _range(command.source, command.words)
                words["fill_words"] |= _range(command.indices, command.index_words)
            case Rows():
                words["rows_words"] |= _range(command.source, command.words)
            case Run() if command.store:
                words["store_busy"] |= _range(command.destination, command.words)
    return {name: len(touched) for name, touched in words.items()}


def _range(first: int, count: int) -> set[int]:
    return set(range(first, first + count))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"


def _limit(config: Config, made: Explained) -> str:
    """What keeps the program from being done sooner, and what would help."""
    cycles, causes, cause = made.cycles, made.causes, made.largest
    issued = f"the array issues slots in {_share(causes[WORK], cycles)} of the cycles"
    if not cause or causes[WORK] >= MOSTLY * cycles:
        return f"{made.name} is limited by its multiplications: {issued}"
    lost = f"{causes[cause]:,} of {cycles:,} cycles"
    why, remedy = _why(config, made, cause)
    return f"{made.name} waits most for {why} ({lost}; {issued}): {remedy}"


def _why(config: Config, made: Explained, cause: str) -> tuple[str, str]:
    match cause:
        case "drain":
            return "sums to drain", (
                f"tiles have fewer slots than the {config.tile_rows} cycles that their sums need "
                "on their way out; a longer K, or fewer rows in the array"
            )
        case "output":
            return "room for results", (
                f"{_at_work(made, 'store')}; results of fewer bytes, or more lanes"
            )
        case "records":
            return "records of RUNs to come", "RUNs are short: more row blocks or a longer K each"
        case "fill":
            return "weights", f"{_at_work(made, 'fill')}; more rows at once use them more often"
        case "settings":
            return "column settings", (
                f"{_at_work(made, 'fill')}; {config.settings_pages} pages hold as many column "
                "blocks"
            )
        case "rows":
            return "rows", f"{_at_work(made, 'rows')}; {_remedy_of_rows(config, made)}"
        case "store":
            return "rows to be stored", f"{_at_work(made, 'store')}"
        case "vector":
            return "the vector unit", f"{_at_work(made, 'vector')}; more vector_lanes"
        case "copy":
            return "external memory", f"{_at_work(made, 'copy')}"
        case "commands":
            return "commands", (
                f"each takes {config.header_beats + 2} cycles; more lanes shorten them, more row "
                "blocks a RUN make them fewer"
            )
        case "host":
            return "the host", "it sends commands too slowly"
        case _:
            last = max(made.engines, key=lambda name: made.engines[name].busy)
            if cause == "end" and "vector" in made.engines and made.engines["vector"].busy:
                last = "vector"
            return "what comes after its last RUN", _at_work(made, last)


def _remedy_of_rows(config: Config, made: Explained) -> str:
    """Whether the mover is too slow or begins too late."""
    rows = made.engines["rows"]
    if sum(rows.waits.values()) > made.causes["rows"] / 2 and rows.busy < made.cycles / 2:
        return "they begin when the layer before has made them: more of them at once overlap"
    if rows.busy < made.cycles / 2:
        return "the mover is fast enough, but for the first ones and where many are needed at once"
    return (
        f"a group of each row takes {config.rows // config.lanes} cycles, and serves as many "
        "slots as the columns keep of it: more lanes, or more columns a layer"
    )


def _at_work(made: Explained, engine: str) -> str:
    """How much an engine did, and whom it waited for."""
    time, parts = made.engines[engine], []
    name = engine.upper()
    parts.append(f"{name} is at work in {_share(time.busy, made.cycles)} of them")
    moved = [t for t in made.traffic if t.user == name and t.least]
    for one in moved:
        if one.words > 1.05 * one.least:
            parts.append(f"moves each word {one.words / one.least:.1f} times")
    if time.memory > 0.02 * made.cycles:
        parts.append(f"waits for tensor memory in {_share(time.memory, made.cycles)}")
    waits = {other: cycles for other, cycles in time.waits.items() if engine != "store"}
    if waits and max(waits.values()) > 0.02 * made.cycles:
        other = max(waits, key=waits.__getitem__)
        parts.append(f"waits for {other.upper()} in {_share(waits[other], made.cycles)}")
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last
