"""What a command costs beside its payload: cycles of the command stream for one header."""

from collections.abc import Iterator

from ...hw.config import preset
from ...hw.isa.commands import ColumnSettings
from ...hw.isa.host_stream import packet_of
from ...sw.transports.simulated import SimulatedTransport
from .named import wanted

COUNT = 1000


def rows(only: str) -> Iterator[dict]:
    for name in ("tiny", "small", "medium"):
        row = f"control.header_cycles.{name}"
        if not wanted(row, only):
            continue
        config = preset(name)
        command = packet_of(config, ColumnSettings(0, 0, 1, 0, 0))
        device = SimulatedTransport(config)
        device.exchange([command])
        taken = []
        for count in (COUNT, 2 * COUNT):
            before = device.cycles
            device.exchange([command * count])
            taken.append(device.cycles - before)
        device.close()
        yield {
            "name": row,
            "value": (taken[1] - taken[0]) / COUNT,
            "unit": "cycles",
            "target": 6,
            "better": "lower",
            "note": "commands that follow each other in a packet; of these cycles "
            f"{config.header_beats} are the header's beats",
        }
