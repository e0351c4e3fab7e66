"""Commands as packets of bytes, and responses back (the command set: `hw/isa/commands.py`)."""

import struct
from dataclasses import dataclass

import numpy as np

from ...hw.config import MAX_COLUMNS, MAX_INTERLEAVE, MAX_ROWS, Config
from ...hw.isa.commands import (
    BIAS_BITS,
    CHANNEL_ALL,
    COMMAND_FIELDS,
    HEADER_BYTES,
    MODE_CHANNEL_SHIFT,
    MODE_FINISH,
    MODE_FORMAT_SHIFT,
    MODE_RELU,
    Opcode,
    OutputFormat,
    Status,
    Target,
    crc16,
)
from ..errors import DeviceError

HEADER = struct.Struct("<16H")


def command(config: Config, opcode: Opcode, fields: dict[str, int]) -> bytes:
    """A command's header, padded to whole beats; its tag is 0."""
    words = [int(opcode)] + [fields[name] & 0xFFFF for name in COMMAND_FIELDS[opcode]]
    return _padded(config, _sealed(struct.pack("<15H", *words, *[0] * (15 - len(words)))))


def tagged(packet: bytes, tag: int) -> bytes:
    """`packet` with `tag` (modulo 256), which its response repeats, and the check made right."""
    body = packet[:1] + bytes([tag & 0xFF]) + packet[2 : HEADER_BYTES - 2]
    return _sealed(body) + packet[HEADER_BYTES:]


def _sealed(body: bytes) -> bytes:
    """A header's first thirty bytes, and their check."""
    return body + struct.pack("<H", crc16(body))


def load(config: Config, target: Target, address: int, words: int, payload: bytes) -> bytes:
    """A LOAD of `words` words from `address` on; `payload` as from the functions below."""
    fields = {"target": target, "address": address, "count": words}
    return command(config, Opcode.LOAD, fields) + _padded(config, payload)


def channel(
    config: Config, column: int | None, channel: int, scale: int, exponent: int, bias: int
) -> bytes:
    """Set a column's channel, or with column None every column's."""
    fields = {
        "column": CHANNEL_ALL if column is None else column,
        "channel": channel,
        "scale": scale,
        "exponent": exponent,
    }
    fields |= {f"bias_{i}": bias >> (16 * i) for i in range(BIAS_BITS // 16)}
    return command(config, Opcode.CHANNEL, fields)


def run(
    config: Config,
    *,
    finish: bool,
    relu: bool,
    output: OutputFormat,
    channel_page: int,
    **fields: int,
) -> bytes:
    """A RUN; `fields` are those of the command but `mode`."""
    mode = (
        finish * MODE_FINISH
        | relu * MODE_RELU
        | output << MODE_FORMAT_SHIFT
        | channel_page << MODE_CHANNEL_SHIFT
    )
    return command(config, Opcode.RUN, fields | {"mode": mode})


def sync(config: Config) -> bytes:
    return command(config, Opcode.SYNC, {})


def response_limit(packet: bytes, beat: int) -> int:
    """Bytes, in beats of `beat` bytes, that no device's response to `packet` exceeds.

    For transports, which do not know the configuration: only a RUN has rows, for each of its row
    blocks at most those of the largest tile, in FP32.
    """
    words = HEADER.unpack(packet[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"))
    is_run = words[0] & 0xFF == Opcode.RUN
    tiles = words[1 + COMMAND_FIELDS[Opcode.RUN].index("row_blocks")] if is_run else 0
    row = MAX_COLUMNS * OutputFormat.FP32.bytes
    rows = tiles * MAX_ROWS * MAX_INTERLEAVE
    beats = -(-HEADER_BYTES // beat) + rows * -(-row // beat)
    return beats * beat


def indices_payload(indices: np.ndarray) -> bytes:
    """Indices [slots, C] as nibbles, the first in the low half of its byte."""
    flat = np.pad(indices.ravel(), (0, indices.size % 2))
    return (flat[0::2] | flat[1::2] << 4).astype(np.uint8).tobytes()


def elements_payload(config: Config, raw: np.ndarray) -> bytes:
    """Raw elements in the order of the buffer's words, without gaps."""
    if config.format.bits == 4:
        return indices_payload(raw)
    return np.ascontiguousarray(raw).tobytes()


def activations_payload(config: Config, panel: np.ndarray) -> bytes:
    """Raw activations [row blocks, R, groups, M] in the order of the buffer's words."""
    return elements_payload(config, panel.transpose(0, 2, 1, 3))


@dataclass(frozen=True)
class Response:
    """A response packet: its header, and its rows as bytes."""

    opcode: int
    tag: int
    status: int
    rows: int
    flags: int
    body: bytes

    def check(self, packet: bytes) -> "Response":
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


def response(config: Config, packet: bytes) -> Response:
    """Take a response apart. Raises `DeviceError` if its check fails."""
    head = packet[:HEADER_BYTES]
    if len(head) < HEADER_BYTES or crc16(head[:-2]) != HEADER.unpack(head)[15]:
        raise DeviceError("a response from the device is damaged; reset it and run again")
    words = HEADER.unpack(head)
    return Response(
        opcode=words[0] & 0xFF,
        tag=words[0] >> 8,
        status=words[1],
        rows=words[2] | words[3] << 16,
        flags=words[4],
        body=packet[config.header_beats * config.stream_bytes :],
    )


def _padded(config: Config, data: bytes) -> bytes:
    return data + bytes(-len(data) % config.stream_bytes)
