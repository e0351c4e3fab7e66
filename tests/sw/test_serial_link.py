"""The host's end of the serial link: how often it asks, how long it listens, when it gives up.

Requests and answers are written here byte by byte from docs/link.md; no time passes, for the port
keeps the clock.
"""

import struct
import zlib

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.sim.testbenches.link_model import LinkModel
from heddle.sw.errors import DeviceError
from heddle.sw.transports import serial_link
from heddle.sw.transports.serial_link import LinkTransport

TINY = Config("tiny", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
HELLO, READ, EXCHANGE = 1, 2, 4


def frame(content: bytes) -> bytes:
    """A frame with its check sequence, escaped, between flags."""
    body = content + zlib.crc32(content).to_bytes(4, "little")
    body = body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return b"\x7e" + body + b"\x7e"


def content(data: bytes) -> bytes:
    """What a frame holds."""
    (body,) = [part for part in data.split(b"\x7e") if part]
    return body.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")[:-4]


class Line:
    """A port that answers each request by `answer`, and a clock that runs while it is read."""

    name = "the line"

    def __init__(self, monkeypatch, answer):
        self.answer, self.requests, self.waited = answer, [], []
        self.coming, self.now, self.closed = b"", 0.0, False
        monkeypatch.setattr(serial_link.time, "monotonic", lambda: self.now)

    def write(self, data: bytes) -> None:
        self.requests.append(content(data))
        self.coming += self.answer(data)

    def read(self, timeout: float) -> bytes:
        self.waited.append(timeout)
        data, self.coming = self.coming, b""
        self.now += 0 if data else timeout
        return data

    def close(self) -> None:
        self.closed = True


def test_a_silent_line_is_asked_twenty_times(monkeypatch):
    line = Line(monkeypatch, lambda data: b"")
    with pytest.raises(DeviceError, match=r"nothing answers at the line \(20 attempts\)"):
        LinkTransport(line)
    assert len(line.requests) == 20 and len(set(line.requests)) == 1
    assert line.requests[0][0] == HELLO and line.waited == [0.3] * 20 and line.closed


def test_a_line_that_falls_silent_is_given_up_as_soon(monkeypatch):
    model = LinkModel(TINY)
    line = Line(monkeypatch, model.feed)
    transport = LinkTransport(line, timeout=0.5, retries=7)
    assert len(line.requests) == 1 and transport.resent == 0
    line.answer = lambda data: b""
    with pytest.raises(DeviceError, match=r"no longer answers \(7 attempts\)"):
        transport.read_register(0)
    assert len(line.requests) == 1 + 7 and transport.resent == 6
    assert set(line.waited[1:]) == {0.5}
    assert all(request[0] == READ for request in line.requests[1:])


def test_a_request_is_repeated_as_it_was_until_its_answer_comes(monkeypatch):
    model = LinkModel(TINY)
    line = Line(monkeypatch, model.feed)
    transport = LinkTransport(line)
    losses = iter([True, True, False])
    line.answer = lambda data: b"" if next(losses) else model.feed(data)
    assert transport.read_register(0) == model.device.read_register(0)
    assert len(line.requests) == 4 and len(set(line.requests[1:])) == 1
    assert transport.resent == 2


@pytest.mark.parametrize("piece", [1, 1000, 1 << 16])
def test_noise_without_end_is_listened_to_only_so_long(monkeypatch, piece):
    class Noisy(Line):
        def read(self, timeout: float) -> bytes:
            self.waited.append(timeout)
            self.now += piece / 100_000  # ten bits each at a million baud
            return b"\x55" * piece

    line = Noisy(monkeypatch, None)
    line.answer = lambda data: b""
    with pytest.raises(DeviceError, match="nothing answers"):
        LinkTransport(line, retries=3)
    # Sixteen times the longest frame, or twenty silences.
    bytes_each = min(16 * 1024, 20 * 0.3 * 100_000)
    assert len(line.requests) == 3
    assert len(line.waited) <= 3 * (bytes_each // piece + 1)


def test_slow_noise_ends_after_twenty_silences(monkeypatch):
    class Dripping(Line):
        def read(self, timeout: float) -> bytes:
            self.now += 0.25
            return b"\x55"

    line = Dripping(monkeypatch, lambda data: b"")
    with pytest.raises(DeviceError, match="nothing answers"):
        LinkTransport(line, timeout=0.3, retries=2)
    assert line.now == pytest.approx(2 * 20 * 0.3, abs=2 * 0.25)


def test_a_first_exchange_is_short_and_the_next_ones_grow(monkeypatch):
    """Beats are what is left of a request after its head (4 bytes), wanted and 0."""
    model = LinkModel(TINY)
    line = Line(monkeypatch, model.feed)
    transport = LinkTransport(line)
    size = model.config.stream_bytes
    transport.exchange([bytes(100 * size)])
    beats = [(len(r) - 6) // (size + 1) for r in line.requests if r[0] == EXCHANGE]
    assert beats[:4] == [8, 16, 32, 44]


def test_a_device_that_takes_nothing_is_given_up(monkeypatch):
    def stalled(data: bytes) -> bytes:
        request = content(data)
        if request[0] != EXCHANGE:
            return model.feed(data)
        return frame(bytes([request[0] | 0x80]) + request[1:4] + struct.pack("<BBI", 0, 0, 0))

    model = LinkModel(TINY)
    line = Line(monkeypatch, stalled)
    transport = LinkTransport(line)
    with pytest.raises(DeviceError, match="stopped: 0 of 1 commands answered"):
        transport.exchange([bytes(64)])
    asked = [request for request in line.requests if request[0] == EXCHANGE]
    assert len(asked) == 2001
