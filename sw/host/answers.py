"""What a device answers: its responses taken apart, and refusals as errors."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Opcode, Refused, Status
from ...hw.isa.commands import Response
from ..errors import DeviceError


@dataclass(frozen=True)
class Answer(Response):
    """A response packet: its header's fields, and its rows as bytes."""

    body: bytes = b""

    def check(self, packet: bytes) -> "Answer":
        """Itself, if all is well and it answers `packet`. Raises `DeviceError` if not."""
        if self.status != Status.OK:
            known = self.status in list(Status)
            reason = Status(self.status).name if known else "of an unknown kind"
            kind = Opcode(self.opcode).name if self.opcode in list(Opcode) else "a command"
            raise DeviceError(
                f"the device refused {kind}: error {self.status}, {reason}; the driver and the "
                "device may be of different versions"
            )
        if (self.opcode, self.tag) != (packet[0], packet[1]):
            raise DeviceError(
                "the device answers another command than the one whose turn it is; reset it and "
                "run again"
            )
        return self

    def outputs(self, config: Config, output: OutputFormat) -> np.ndarray:
        """The rows as raw outputs [tiles, R, T * C]: back in order, padding cut off."""
        line = config.row_beats(output) * config.stream_bytes
        rows = np.frombuffer(self.body, np.uint8)[: self.rows * line].reshape(-1, line)
        rows = np.ascontiguousarray(rows[:, : config.columns * output.bytes])
        tiles = rows.view(f"<u{output.bytes}").reshape(-1, config.rows, config.tile_columns)
        return tiles[:, ::-1]


def answer_of(config: Config, packet: bytes) -> Answer:
    """Take a response apart. Raises `DeviceError` if its check fails."""
    try:
        head = Answer.decode(packet)
    except Refused:
        raise DeviceError("a response from the device is damaged; reset it and run again") from None
    return replace(head, body=packet[config.header_beats * config.stream_bytes :])


def in_shares(
    on_progress: Callable[[float], None] | None, whole: int
) -> Callable[[int], None] | None:
    """For a transport, which counts answers: `on_progress` is told their share of `whole`."""
    return None if on_progress is None else lambda count: on_progress(count / whole)
