"""How fast copies go between external and tensor memory, behind 100 cycles of latency."""

from collections.abc import Iterator

from ...hw.config import Config, preset
from ...hw.isa.commands import Sync
from ...hw.isa.descriptors import Copy
from ...hw.isa.host_stream import packet_of
from ...sw.transports.simulated import External, SimulatedTransport
from .named import wanted

LATENCY = 100
BITS = 20
"""Of external memory's addresses."""
COUNT = 6
"""COPYs that follow each other; what two more take is looked at, so that no beginning counts."""


def rows(only: str) -> Iterator[dict]:
    for name in ("tiny", "small", "medium"):
        prefix = f"copy.{name}"
        if not wanted(prefix, only):
            continue
        config = preset(name, external_bits=BITS)
        device = SimulatedTransport(config, external=External(latency=LATENCY))
        for way, outward in (("in", 0), ("out", 1)):
            for what, copy in _copies(config, outward).items():
                rate, beats = _rate(device, config, copy)
                ideal = config.stream_bytes
                target = 0.95 * ideal if what == "words" else None
                yield {
                    "name": f"{prefix}.{way}.{what}.bytes_per_cycle",
                    "value": rate,
                    "unit": "bytes",
                    "target": target,
                    "better": "higher",
                    "note": f"{rate / ideal:.0%} of a beat; {copy.rows} rows of "
                    f"{copy.row_bytes} bytes reach into {beats} beats",
                }
        device.close()


def _copies(config: Config, outward: int) -> dict[str, Copy]:
    """Words as they lie, rows of 64 elements dealt to the lanes, and windows of three of them that
    begin anywhere."""
    element = config.format.bits // 8
    words = config.tensor_words // 4
    rows = words * config.lanes // (64 // config.group)
    return {
        "words": Copy(
            outward=outward,
            whole=1,
            external=0,
            row_bytes=words * config.stream_bytes,
            tensor=0,
        ),
        "rows": Copy(
            outward=outward,
            external=0,
            row_bytes=64 * element,
            stride=64 * element,
            rows=rows,
            tensor=0,
            pitch=64 // config.group,
        ),
        "windows": Copy(
            outward=outward,
            external=3 * element,
            row_bytes=3 * element,
            stride=element,
            rows=rows,
            tensor=0,
            pitch=1,
        ),
    }


def _rate(device: SimulatedTransport, config: Config, copy: Copy) -> tuple[float, int]:
    """Bytes of rows a cycle, and the beats of the bus that a COPY's rows reach into."""
    packet, sync = packet_of(config, copy), packet_of(config, Sync())
    device.exchange([sync])  # the reset is over
    taken = []
    for count in (COUNT, COUNT + 2):
        before = device.cycles
        device.exchange([packet * count, sync])
        taken.append(device.cycles - before)
    moved = 2 * copy.rows * copy.row_bytes
    beat = config.stream_bytes
    firsts = (copy.external + row * copy.stride for row in range(copy.rows))
    beats = sum((at + copy.row_bytes - 1) // beat - at // beat + 1 for at in firsts)
    return moved / (taken[1] - taken[0]), beats
