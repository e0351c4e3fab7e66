"""Commands as packets of whole beats, and payloads as LOADs bring them."""

import numpy as np

from ..config import HEADER_BYTES, MAX_COLUMNS, MAX_INTERLEAVE, MAX_ROWS, Config
from ..formats import OutputFormat
from .codes import Refused
from .commands import WITH_PAYLOAD, Command, Read, Run, decode
from .header import CHECKED_BYTES, sealed


def packet_of(config: Config, command: Command, payload: bytes = b"", tag: int = 0) -> bytes:
    """A command as it is sent, with `tag` (modulo 256); `payload` as from the functions below.

    Packets of commands without payload and without rows or words in their answers may be joined to
    one, which is answered once; whatever packet is the last of them.
    """
    return _padded(config, command.encode(tag)) + _padded(config, payload)


def tagged(packet: bytes, tag: int) -> bytes:
    """`packet` with `tag` (modulo 256), which its response repeats, and the check made right."""
    body = packet[:1] + bytes([tag & 0xFF]) + packet[2:CHECKED_BYTES]
    return sealed(body) + packet[HEADER_BYTES:]


def response_limit(packet: bytes, beat: int) -> int:
    """Bytes, in beats of `beat` bytes, that no device's response to `packet` exceeds.

    For transports, which do not know the configuration: a READ has words, a RUN rows, for each of
    its row blocks at most those of the largest tile, in FP32. Either is its packet's last command.
    """
    size, command = max(HEADER_BYTES, beat), None
    for at in range(0, len(packet), size):
        try:
            command = decode(packet[at : at + HEADER_BYTES])
        except Refused:
            break
        if command.opcode in WITH_PAYLOAD:
            break
    tiles = command.row_blocks if isinstance(command, Run) else 0
    row = MAX_COLUMNS * OutputFormat.FP32.bytes
    rows = tiles * MAX_ROWS * MAX_INTERLEAVE
    words = command.count if isinstance(command, Read) else 0
    beats = -(-HEADER_BYTES // beat) + rows * -(-row // beat) + words
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


def _padded(config: Config, data: bytes) -> bytes:
    return data + bytes(-len(data) % config.stream_bytes)
