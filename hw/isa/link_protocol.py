"""The serial link's protocol: constants and frames that gateware and host share (docs/link.md).

The host asks and the device answers, one request at a time. A frame is laid out as in RFC 1662:
a flag at both ends, flags and escapes inside escaped, and at the end the 32-bit FCS. Its content:

    request:   kind, session (2), sequence, arguments (6 or 2), beats …
    response:  kind | 0x80, session (2), sequence, status, count, value (4), beats …

Numbers are little-endian. A beat is its bytes and one more, whose bit 0 ends a packet.
"""

import zlib
from enum import IntEnum

PROTOCOL_VERSION = 1
HELLO_MARK = 0x48
"""First byte of the answer to HELLO: "H"."""

FLAG = 0x7E
ESCAPE = 0x7D
ESCAPE_XOR = 0x20
FCS_BYTES = 4

STORE_LOG2 = 10
STORE_BYTES = 1 << STORE_LOG2
"""Room of the device for one request, and for one response, FCS included."""
REJECT_AT = STORE_BYTES - 16
"""Where in the response store refusals are made, which must not replace a response."""
HEAD_BYTES = 10
"""Bytes of a response before its beats; a request with its FCS is no shorter."""
BEATS_AT = 6
"""Where the beats of an EXCHANGE begin."""
RESPONSE = 0x80
"""Set in a response's kind."""
TIMEOUT = 1024
"""Cycles that the link waits for the accelerator to take or to give a beat, or for a register."""


class Kind(IntEnum):
    """What a request asks for."""

    HELLO = 1
    """Begin a session: reset link and accelerator, say who answers. Arguments: version (2)."""
    READ = 2
    """A register. Arguments: address (2)."""
    WRITE = 3
    """A register. Arguments: address (2), value (4)."""
    EXCHANGE = 4
    """Move beats both ways. Arguments: most beats wanted, zero; then the beats to send."""


class LinkStatus(IntEnum):
    """What a response says of its request."""

    OK = 0
    BAD_KIND = 1
    BAD_LENGTH = 2
    """The frame is intact, but not as long as its kind."""
    BAD_SESSION = 3
    """Of no session, or an old one: the device has been reset, or serves another program."""
    BAD_SEQUENCE = 4
    """Neither the next request nor the last one again."""
    TIMEOUT = 5
    """The accelerator's registers did not answer; none is asked again until the device starts."""


def beats_in(beat_bytes: int) -> int:
    """The most beats that one EXCHANGE carries to the device."""
    return min(255, (STORE_BYTES - BEATS_AT - FCS_BYTES) // (beat_bytes + 1))


def beats_out(beat_bytes: int) -> int:
    """The most beats that one EXCHANGE brings back."""
    room = REJECT_AT - HEAD_BYTES - FCS_BYTES
    return min(255, room // (beat_bytes + 1))


def encode(content: bytes) -> bytes:
    """A frame with `content`: FCS added, escaped, between flags."""
    body = content + zlib.crc32(content).to_bytes(FCS_BYTES, "little")
    for byte in (ESCAPE, FLAG):
        body = body.replace(bytes([byte]), bytes([ESCAPE, byte ^ ESCAPE_XOR]))
    return bytes([FLAG]) + body + bytes([FLAG])


def decode(body: bytes) -> bytes | None:
    """The content of what stood between two flags, or None if it is damaged."""
    content = bytearray()
    escaped = False
    for byte in body:
        if escaped:
            content.append(byte ^ ESCAPE_XOR)
            escaped = False
        elif byte == ESCAPE:
            escaped = True
        else:
            content.append(byte)
    data, fcs = bytes(content[:-FCS_BYTES]), content[-FCS_BYTES:]
    if escaped or not data or zlib.crc32(data).to_bytes(FCS_BYTES, "little") != fcs:
        return None
    return data
