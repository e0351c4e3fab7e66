"""What the engines do in a cycle, by the names of `isa.engine_counters`."""

from collections.abc import Mapping

from amaranth import Value

from ..config import Config
from ..isa.engine_counters import engine_counters
from ..isa.engines import Engine

BESIDE = (Engine.FILL, Engine.ROWS, Engine.VECTOR, Engine.COPY)
"""Engines that work on descriptors of their own beside the array."""


def of_states(states) -> dict[str, Value]:
    """Of layouts.STATES: at work, or waiting, and for whom."""
    events = {}
    for engine in BESIDE:
        state, name = states[engine], engine.name.lower()
        events[f"{name}_busy"] = state.busy
        for awaited in Engine:
            if awaited is not engine:
                events[f"{name}_{awaited.name.lower()}"] = state.waits[awaited]
    return events


def of_reads(readers: Mapping) -> dict[str, Value]:
    """Of layouts.READ_PORTs by their readers' names: words that are taken, and waiting for them."""
    return {
        f"{name}_{what}": event
        for name, port in readers.items()
        for what, event in (
            ("words", port.valid & port.ready),
            ("memory", port.valid & ~port.ready),
        )
    }


def kept(config: Config, events: Mapping[str, Value]) -> dict[str, Value]:
    """Those that a device of `config` counts."""
    return {name: events[name] for name in engine_counters(config)}
