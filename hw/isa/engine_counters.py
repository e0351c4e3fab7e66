"""What a device with tensor memory counts of its engines: one table for gateware, host and pages.

While anything is under way (`running`) the array issues a slot, or one cause why it does not is
counted; so `slots`, `stall_drain`, `stall_output` and the causes add up to `running`. Of any other
engine a cycle is `busy`, or its next descriptor waits for one engine, or there is none.
"""

from dataclasses import dataclass

from ..config import Config
from .engines import Engine

VECTOR, EXTERNAL = "vector_lanes", "external_bits"
PART_OF = {Engine.VECTOR: VECTOR, Engine.COPY: EXTERNAL}
"""Engines that a device with tensor memory need not have, by what of a `Config` says so."""


@dataclass(frozen=True)
class EngineCounter:
    """A counter of 32 bits, of devices with tensor memory and all parts that it `needs`."""

    name: str
    text: str
    needs: tuple[str, ...] = ()


CAUSES = {
    "array_records": "a RUN is there, and its group records are being read",
    "array_fill": "the next RUN waits for a FILL of weights or group records",
    "array_settings": "the next RUN waits for a FILL of column settings",
    "array_rows": "the next RUN waits for ROWS",
    "array_store": "the next RUN waits until rows are in tensor memory",
    "array_vector": "the next RUN waits for a VECTOR",
    "array_copy": "the next RUN waits for a COPY",
    "array_commands": "no RUN is there: commands are being taken and judged",
    "array_host": "no RUN is there: the stream brings no command",
    "array_end": "no RUN is left: a SYNC waits for the other engines",
}
"""Why the array issues nothing, in a cycle in which something is under way and no tile's end waits
(`stall_drain`, `stall_output`). Of engines that a RUN waits for, the first counts; where no RUN is
there because a command before it waits for room in an engine's queue, that one does."""
_WORK = {
    Engine.FILL: "moves words to the buffers",
    Engine.ROWS: "moves rows to the buffers",
    Engine.VECTOR: "carries out a VECTOR",
    Engine.COPY: "carries out a COPY, or words of the host's",
}
_MEMORY = {
    Engine.FILL: "a word that it asks for",
    Engine.ROWS: "groups that it asks for",
    Engine.VECTOR: "a word that it asks for, or to write one",
    Engine.COPY: "a word that it asks for, or to write one",
}


def _counters() -> list[EngineCounter]:
    counters = [EngineCounter("running", "cycles in which a RUN or an engine was under way")]
    for name, text in CAUSES.items():
        needs = [part for engine, part in PART_OF.items() if name == f"array_{engine.name.lower()}"]
        counters.append(EngineCounter(name, f"cycles: {text}", tuple(needs)))
    for engine, work in _WORK.items():
        own, name = _needs(engine), engine.name.lower()
        counters += [
            EngineCounter(f"{name}_busy", f"cycles in which {engine.name} {work}", own),
            EngineCounter(
                f"{name}_memory",
                f"cycles in which {engine.name} waits for tensor memory: {_MEMORY[engine]}",
                own,
            ),
        ]
        for awaited in Engine:
            if awaited is not engine:
                counters.append(
                    EngineCounter(
                        f"{name}_{awaited.name.lower()}",
                        f"cycles in which {engine.name} has nothing to do and its next descriptor "
                        f"waits for {awaited.name}",
                        own + _needs(awaited),
                    )
                )
    external = (EXTERNAL,)
    return [
        *counters,
        EngineCounter("store_busy", "cycles in which rows of results are written, a word each"),
        EngineCounter("store_array", "cycles in which a RUN that stores has no row to write"),
        EngineCounter("fill_words", "words that FILLs read"),
        EngineCounter("rows_words", "words that ROWS read, some lanes of them or all"),
        EngineCounter("side_words", "words of side operands read"),
        EngineCounter("side_memory", "cycles in which side operands wait for tensor memory"),
        EngineCounter("host_read", "words that READs read"),
        EngineCounter("host_written", "words that WRITEs write"),
        EngineCounter("vector_read", "words that VECTORs read, their programs too", (VECTOR,)),
        EngineCounter("vector_written", "words that VECTORs write, a lane of each", (VECTOR,)),
        EngineCounter("copy_read", "words that COPYs outwards read", external),
        EngineCounter("copy_written", "words that COPYs inwards write, a lane or all", external),
        EngineCounter(
            "copy_external",
            "cycles in which COPY waits for external memory: for a beat that it has asked for, to "
            "be rid of one, or for the last to be acknowledged",
            external,
        ),
        EngineCounter("external_read", "beats that external memory gave", external),
        EngineCounter("external_written", "beats that external memory took", external),
    ]


def _needs(engine: Engine) -> tuple[str, ...]:
    return (PART_OF[engine],) if engine in PART_OF else ()


def _place(counter: EngineCounter) -> int:
    """What every device with tensor memory has comes first, so that a device without the other
    parts needs no room for their counters."""
    return sum(1 << n for n, part in enumerate(PART_OF.values()) if part in counter.needs)


ENGINE_COUNTERS = tuple(sorted(_counters(), key=_place))
"""In the order of their addresses."""
BASE = 0x100
"""The first one's address."""
ENGINE_ADDRESS = {counter.name: BASE + 4 * i for i, counter in enumerate(ENGINE_COUNTERS)}


def engine_counters(config: Config) -> tuple[str, ...]:
    """Those that a device of `config` has; the others are zero."""
    if not config.tensor_words:
        return ()
    parts = {part for part in PART_OF.values() if getattr(config, part)}
    return tuple(c.name for c in ENGINE_COUNTERS if parts >= set(c.needs))


def engine_places(config: Config) -> dict[str, int]:
    """Their places in the order of addresses."""
    return {name: (ENGINE_ADDRESS[name] - BASE) // 4 for name in engine_counters(config)}
