"""The device's end of the serial link in Python, from its description alone (docs/link.md).

Written apart from the gateware, with which it shares only constants: the fast partner for the
host's side, with the golden model behind it, and what the gateware is compared with.
"""

import zlib

from ...hw.config import Config
from ...hw.isa.link_protocol import (
    BEATS_AT,
    ESCAPE,
    ESCAPE_XOR,
    FCS_BYTES,
    FLAG,
    HEAD_BYTES,
    HELLO_MARK,
    PROTOCOL_VERSION,
    RESPONSE,
    STORE_BYTES,
    STORE_LOG2,
    Kind,
    LinkStatus,
    beats_out,
)
from ...hw.isa.registers import ADDRESS, CONTROL_RESET
from ..golden.device import ModelTransport

ARGUMENTS = {Kind.HELLO: 2, Kind.READ: 2, Kind.WRITE: 6}


class LinkModel:
    """A device of `config`: `feed` it the line's bytes, and it returns what it sends."""

    def __init__(self, config: Config):
        self.config = config
        self.device = ModelTransport(config)
        self.executed = 0
        """Requests executed, repetitions not counted."""
        self.silent = False
        """Whether the accelerator's registers do not answer."""
        self._session: int | None = None
        self._sequence = 0
        self._kept = b""
        self._body = bytearray()
        self._packet = bytearray()
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        *bodies, rest = data.split(bytes([FLAG]))
        sent = b""
        for body in bodies:
            sent += self._frame(bytes(self._body) + body)
            self._body.clear()
        self._body += rest
        return sent

    def _frame(self, body: bytes) -> bytes:
        content, escape = bytearray(), False
        for byte in body:
            if byte == ESCAPE and not escape:
                escape = True
            else:
                content.append(byte ^ ESCAPE_XOR if escape else byte)
                escape = False
        if escape or not HEAD_BYTES <= len(content) < STORE_BYTES:
            return b""
        request = bytes(content[:-FCS_BYTES])
        if zlib.crc32(request) != int.from_bytes(content[-FCS_BYTES:], "little"):
            return b""
        kind, session, sequence = request[0], int.from_bytes(request[1:3], "little"), request[3]
        if kind != Kind.HELLO:
            if session != self._session:
                return self._answer(request, LinkStatus.BAD_SESSION)
            if sequence == self._sequence:
                return self._kept
            if sequence != (self._sequence + 1) % 256:
                return self._answer(request, LinkStatus.BAD_SEQUENCE)
        self._session, self._sequence = session, sequence
        self.executed += 1
        self._kept = self._execute(request)
        return self._kept

    def _execute(self, request: bytes) -> bytes:
        kind, arguments = request[0], request[4:]
        if len(arguments) != ARGUMENTS.get(Kind(kind) if kind in list(Kind) else 0, len(arguments)):
            return self._answer(request, LinkStatus.BAD_LENGTH)
        if self.silent and kind in ARGUMENTS:
            return self._answer(request, LinkStatus.TIMEOUT)
        address = int.from_bytes(arguments[:2], "little")
        if kind == Kind.HELLO:
            self._write(ADDRESS["control"], CONTROL_RESET)
            value = HELLO_MARK | PROTOCOL_VERSION << 8 | self.config.stream_bytes << 16
            return self._answer(request, LinkStatus.OK, STORE_LOG2, value)
        if kind == Kind.READ:
            return self._answer(request, value=self.device.read_register(address))
        if kind == Kind.WRITE:
            self._write(address, int.from_bytes(arguments[2:], "little"))
            return self._answer(request)
        if kind == Kind.EXCHANGE:
            return self._exchange(request)
        return self._answer(request, LinkStatus.BAD_KIND)

    def _exchange(self, request: bytes) -> bytes:
        size = self.config.stream_bytes
        beats = request[BEATS_AT:]
        count = len(beats) // (size + 1)
        for i in range(0, count * (size + 1), size + 1):
            self._packet += beats[i : i + size]
            if beats[i + size] & 1:
                for response in self.device.exchange([bytes(self._packet)]):
                    starts = range(0, len(response), size)
                    self._out += [
                        response[s : s + size].ljust(size, b"\0")
                        + bytes([s + size >= len(response)])
                        for s in starts
                    ]
                self._packet.clear()
        most = min(request[4], beats_out(size))
        taken, self._out = self._out[:most], self._out[most:]
        whole = len(beats) % (size + 1) == 0
        status = LinkStatus.OK if whole else LinkStatus.BAD_LENGTH
        return self._answer(request, status, count, beats=b"".join(taken))

    def _write(self, address: int, value: int) -> None:
        self.device.write_register(address, value)
        if address == ADDRESS["control"] and value & CONTROL_RESET:
            self._packet.clear()
            self._out.clear()

    def _answer(self, request, status=LinkStatus.OK, count=0, value=None, beats=b"") -> bytes:
        if value is None:
            # What the request had in its place, its FCS included.
            frame = request + zlib.crc32(request).to_bytes(FCS_BYTES, "little")
            value = int.from_bytes(frame[BEATS_AT:HEAD_BYTES], "little")
        content = bytes([request[0] | RESPONSE]) + request[1:4] + bytes([status, count])
        content += value.to_bytes(4, "little") + beats
        body = bytearray()
        for byte in content + zlib.crc32(content).to_bytes(FCS_BYTES, "little"):
            body += bytes([ESCAPE, byte ^ ESCAPE_XOR]) if byte in (FLAG, ESCAPE) else bytes([byte])
        return bytes([FLAG]) + bytes(body) + bytes([FLAG])


class ModelPort:
    """A `LinkModel` as a byte port; no time passes."""

    def __init__(self, config: Config):
        self.name = f"the model of a board ({config.name})"
        self.model = LinkModel(config)
        self._out = b""

    def write(self, data: bytes) -> None:
        self._out += self.model.feed(data)

    def read(self, timeout: float) -> bytes:
        out, self._out = self._out, b""
        return out

    def close(self) -> None:
        pass
