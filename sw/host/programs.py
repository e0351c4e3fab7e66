"""Programs on a device: what lies in its memory, then the commands, and what they cost."""

from collections.abc import Callable

from ...hw.isa.commands import Sync
from ...hw.isa.host_stream import packet_of
from ..compiler.program import Program
from .answers import answer_of, in_shares
from .device import Device


def load(
    device: Device, program: Program, on_progress: Callable[[float], None] | None = None
) -> None:
    """Put what the program needs into tensor memory: once, for any number of runs."""
    for number, (address, content) in enumerate(program.image):
        device.write_memory(address, content)
        if on_progress:
            on_progress((number + 1) / len(program.image))


def run(
    device: Device, program: Program, on_progress: Callable[[float], None] | None = None
) -> dict[str, int]:
    """Run a program that is loaded; returns what the device counted, of its engines too.

    Raises `DeviceError` if a command is refused.
    """
    # The last rows are in memory when the SYNC is answered.
    packets = [*program.packets(), packet_of(device.config, Sync())]
    with device.turn():
        device.clear()
        answers = device.transport.exchange(packets, in_shares(on_progress, len(packets)))
        header = device.config.header_beats * device.config.stream_bytes
        for packet, answer in zip(packets, answers, strict=True):
            answer_of(device.config, answer).check(packet[-header:])
        return device.counters() | device.engine_counters()
