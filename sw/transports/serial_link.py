"""The host's end of the serial link (docs/link.md), over anything that carries bytes."""

import secrets
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ...hw.config import BEAT_BYTES
from ...hw.isa.host_stream import response_limit
from ...hw.isa.link_protocol import (
    FLAG,
    HEAD_BYTES,
    HELLO_MARK,
    PROTOCOL_VERSION,
    RESPONSE,
    STORE_BYTES,
    Kind,
    LinkStatus,
    beats_in,
    beats_out,
    decode,
    encode,
)
from ...hw.isa.registers import ADDRESS
from ..errors import DeviceError

HEAD = struct.Struct("<BHB")
ANSWER = struct.Struct("<BHBBBI")
TIMEOUT = 0.3
"""Seconds of silence after which a request is sent again."""
RETRIES = 20
"""Times that a request is sent before the device is given up."""
IDLE_LIMIT = 2_000
"""EXCHANGEs in a row that move nothing before the device is taken to hang."""
FIRST_BEATS = 8
"""Beats of a session's first EXCHANGE: twice as many next, until one is lost."""
MOST_NOISE = 16 * STORE_BYTES
"""Bytes that may come in answer to one request without being its response."""


class Port(Protocol):
    """What carries bytes to a device and back, and may lose or change them."""

    name: str

    def write(self, data: bytes) -> None: ...

    def read(self, timeout: float) -> bytes:
        """What has come, at least a byte; b"" if none came within `timeout` seconds."""
        ...

    def close(self) -> None: ...


class LinkTransport:
    """A device behind a serial link (`transport.Transport`).

    Opening begins a new session, which resets link and accelerator. `timeout` is the silence in
    seconds after which a request is sent again, at most `retries` times. Raises `DeviceError` if
    nothing answers, or what answers speaks another version.
    """

    def __init__(self, port: Port, timeout: float = TIMEOUT, retries: int = RETRIES):
        self.port = port
        self.timeout = timeout
        self.retries = retries
        self.resent = 0
        """Requests that had to be sent again."""
        self._buffer = bytearray()
        self._limit = FIRST_BEATS
        """Most beats each way in one EXCHANGE: short frames get through a bad line."""
        try:
            self.begin()
        except BaseException:
            port.close()
            raise

    def begin(self) -> None:
        """A new session: link and accelerator are reset. Raises `DeviceError` as opening does."""
        self._session = secrets.randbits(16)
        self._sequence = 0
        count, value, _ = self._request(Kind.HELLO, struct.pack("<H", PROTOCOL_VERSION))
        mark, version, self.beat_bytes = value & 0xFF, value >> 8 & 0xFF, value >> 16
        if mark != HELLO_MARK:
            raise DeviceError(f"what answers at {self.port.name} is no Heddle device")
        if version != PROTOCOL_VERSION or 1 << count != STORE_BYTES:
            raise DeviceError(
                f"the device at {self.port.name} speaks version {version} of the serial link, this "
                f"driver {PROTOCOL_VERSION}: load a bitstream of this release, or install the "
                "release that made the bitstream"
            )
        if self.beat_bytes not in BEAT_BYTES:
            raise DeviceError(
                f"the device at {self.port.name} tells of beats of {self.beat_bytes} bytes, which "
                "no device has: load the bitstream again"
            )

    recover = begin

    def read_register(self, address: int) -> int:
        return self._next(Kind.READ, struct.pack("<H", address))[1]

    def write_register(self, address: int, value: int) -> None:
        self._next(Kind.WRITE, struct.pack("<HI", address, value))

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets and return their responses; see `transport.Transport`."""
        size = self.beat_bytes
        beats = [
            packet[i : i + size].ljust(size, b"\0") + bytes([i + size >= len(packet)])
            for packet in packets
            for i in range(0, len(packet), size)
        ]
        limits = [response_limit(packet, size) for packet in packets]
        most, sent, idle = beats_in(size), 0, 0
        responses: list[bytes] = []
        open_response = bytearray()
        window = most
        while sent < len(beats) or len(responses) < len(packets):
            limit, resent = min(window, self._limit), self.resent
            offered = beats[sent : sent + limit]
            accepted, _, out = self._exchange(offered)
            if accepted > len(offered) or len(out) % (size + 1):
                raise DeviceError(f"the device at {self.port.name} answers nonsense; reset it")
            sent += accepted
            # A stalled device gets one beat at a time, until it takes all that it is offered. A
            # request sent again may have taken fewer for being shorter.
            window = most if accepted == len(offered) or self.resent > resent else 1
            for i in range(0, len(out), size + 1):
                open_response += out[i : i + size]
                answered = len(responses)
                if answered == len(packets) or len(open_response) > limits[answered]:
                    raise DeviceError(
                        f"the device at {self.port.name} answers nonsense, more than it was asked "
                        "for; reset it"
                    )
                if out[i + size] & 1:
                    responses.append(bytes(open_response))
                    open_response.clear()
                    if on_response:
                        on_response(len(responses))
            idle = 0 if accepted or out else idle + 1
            if idle > IDLE_LIMIT:
                raise DeviceError(
                    f"the device at {self.port.name} stopped: {len(responses)} of {len(packets)} "
                    "commands answered, then nothing; open it again"
                )
        return responses

    def close(self) -> None:
        self.port.close()

    def _exchange(self, beats: Sequence[bytes]) -> tuple[int, int, bytes]:
        """Offer `beats`, fewer at each failed try, and ask for as few; see `_request`.

        The device executes the first that arrives whole, and repeats its response to the others:
        the count tells which it was.
        """
        size, first = self.beat_bytes, self.resent

        def arguments(attempt: int) -> bytes:
            if attempt:
                self._limit = max(1, self._limit // 2)
            wanted = min(self._limit, beats_out(size))
            return bytes([wanted, 0]) + b"".join(beats[: self._limit])

        answer = self._next(Kind.EXCHANGE, arguments)
        if self.resent == first:
            self._limit += 1 if self.resent else self._limit
            self._limit = min(self._limit, beats_in(size))
        return answer

    def _next(
        self, kind: Kind, arguments: bytes | Callable[[int], bytes]
    ) -> tuple[int, int, bytes]:
        self._sequence = self._sequence + 1 & 0xFF
        return self._request(kind, arguments)

    def _request(
        self, kind: Kind, arguments: bytes | Callable[[int], bytes]
    ) -> tuple[int, int, bytes]:
        """Count, value and beats of the response. Raises `DeviceError` with what went wrong.

        `arguments` may depend on the attempt, from 0.
        """
        head = HEAD.pack(kind, self._session, self._sequence)
        wanted = HEAD.pack(kind | RESPONSE, self._session, self._sequence)
        for attempt in range(self.retries):
            self.resent += attempt > 0
            these = arguments(attempt) if callable(arguments) else arguments
            self.port.write(encode(head + these))
            for content in self._frames():
                if len(content) >= HEAD_BYTES and content.startswith(wanted):
                    *_, status, count, value = ANSWER.unpack_from(content)
                    self._check(status)
                    return count, value, content[HEAD_BYTES:]
        raise DeviceError(
            f"nothing answers at {self.port.name} ({self.retries} attempts): is the board powered, "
            "is a Heddle bitstream loaded, and is this its port and its rate?"
            if kind is Kind.HELLO
            else f"the device at {self.port.name} no longer answers ({self.retries} attempts): "
            "check the cable, then open it again"
        )

    def _frames(self) -> Iterator[bytes]:
        """Intact frames as they come, until a silence, or so much noise that time is up."""
        noise, deadline = 0, time.monotonic() + 20 * self.timeout
        while noise < MOST_NOISE and time.monotonic() < deadline:
            data = self.port.read(self.timeout)
            if not data:
                return
            noise += len(data)
            self._buffer += data
            *bodies, rest = self._buffer.split(bytes([FLAG]))
            # Only noise is longer than the longest frame.
            self._buffer = bytearray(rest[-2 * STORE_BYTES :])
            for body in bodies:
                content = decode(bytes(body))
                if content is not None:
                    yield content

    def ask(self, content: bytes) -> bytes:
        """One frame as it is; the response, or b"" if none comes. Its status is not looked at."""
        self.port.write(encode(content))
        return next((c for c in self._frames() if c[:1] == bytes([content[0] | RESPONSE])), b"")

    def _check(self, status: int) -> None:
        if status == LinkStatus.OK:
            return
        if status == LinkStatus.BAD_SESSION:
            raise DeviceError(
                f"the device at {self.port.name} has forgotten this session: it was reset, or "
                "another program has opened it; open it again"
            )
        if status == LinkStatus.TIMEOUT:
            raise DeviceError(
                f"the link at {self.port.name} answers, but not the accelerator behind it: load "
                "the bitstream again"
            )
        known = LinkStatus(status).name if status in list(LinkStatus) else f"error {status}"
        raise DeviceError(
            f"the device at {self.port.name} refused a request ({known}); open it again"
        )


def probe(transport: LinkTransport) -> str:
    """Send what a host never sends but by a fault of the line; the device must see through it.

    Returns what was tried. Raises `DeviceError` if the device does anything else than it must: on
    a bad line that may be the line's fault. Ends with a new session.
    """
    try:
        return _probe(transport)
    finally:
        transport.begin()


def _probe(transport: LinkTransport) -> str:
    for _ in range(256):
        # Every sequence number, flag and escape among them.
        transport.read_register(ADDRESS["magic"])
    session, last = transport._session, transport._sequence
    following = last + 1 & 0xFF
    # A register that counts time shows whether a request is executed again.
    time_passed, other = (struct.pack("<H", ADDRESS[name]) for name in ("total", "magic"))

    def ask(what: str, status: LinkStatus, kind: int, of: int, sequence: int, arguments: bytes):
        answer = transport.ask(HEAD.pack(kind, of, sequence) + arguments)
        if answer[4:5] != bytes([status]):
            raise DeviceError(f"{what}: answered with {answer.hex(' ') or 'nothing'}")
        return answer

    def read(what: str, status: LinkStatus, of: int, sequence: int, arguments: bytes) -> bytes:
        return ask(what, status, Kind.READ, of, sequence, arguments)

    first = read("a request", LinkStatus.OK, session, following, time_passed)
    for number in (following + 4, following - 1):
        read("another number", LinkStatus.BAD_SEQUENCE, session, number & 0xFF, other)
    read("another session", LinkStatus.BAD_SESSION, session ^ 1, following + 1 & 0xFF, other)
    if read("a repeated request", LinkStatus.OK, session, following, time_passed) != first:
        raise DeviceError("a repeated request was executed again")

    following = following + 1 & 0xFF
    request = HEAD.pack(Kind.READ, session, following) + other
    damaged = bytearray(encode(request))
    damaged[-2] ^= 1
    transport.port.write(bytes(damaged))
    if answer := next(transport._frames(), b""):
        raise DeviceError(f"a damaged request was answered with {answer.hex(' ')}")
    read("a request sent again", LinkStatus.OK, session, following, other)
    for what, status, kind, arguments in (
        ("a wrong length", LinkStatus.BAD_LENGTH, Kind.READ, other + bytes(1)),
        ("an unknown kind", LinkStatus.BAD_KIND, 9, other),
    ):
        following = following + 1 & 0xFF
        ask(what, status, kind, session, following, arguments)
    return "256 sequence numbers; repeated, damaged, foreign requests"
