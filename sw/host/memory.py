"""Tensor memory from the host's side: whole words there and back, in pieces."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from ...hw.config import Config
from ...hw.isa import commands
from ...hw.isa.host_stream import packet_of
from ..errors import DeviceError, FormatError
from .answers import answer_of, in_shares

PIECE = 16384
"""Bytes that one command moves at most: any transport has room for them, and tells how far it is
in between."""


class Holder(Protocol):
    """What memory is reached through (`device.Device`)."""

    config: Config
    transport: Any

    def turn(self) -> AbstractContextManager[None]: ...


def write(
    device: Holder, address: int, data: Any, on_progress: Callable[[float], None] | None = None
) -> None:
    """Fill words of tensor memory, from word `address` on, with the bytes of `data`.

    A word is a beat of the host stream, `config.stream_bytes` bytes. `data` is bytes, or an array
    whose elements go in their own order and as they lie in memory. Raises `FormatError` if it is no
    whole number of words, or would go beyond the memory's end; `DeviceError` if there is no tensor
    memory.
    """
    config = device.config
    content = data if isinstance(data, bytes | bytearray) else np.ascontiguousarray(data).tobytes()
    count, rest = divmod(len(content), config.stream_bytes)
    if rest:
        raise FormatError(
            f"{len(content):,} bytes are no whole number of words of {config.stream_bytes} bytes: "
            "pad them with zeros"
        )
    packets = []
    for at, words in _pieces(config, address, count):
        first = (at - address) * config.stream_bytes
        payload = bytes(content[first : first + words * config.stream_bytes])
        packets.append(packet_of(config, commands.Write(at, words), payload))
    _exchange(device, packets, on_progress)


def read(
    device: Holder, address: int, count: int, on_progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """Words `address` to ``address + count - 1`` of tensor memory, uint8 [count, bytes of a word].

    Raises `FormatError` if they go beyond the memory's end; `DeviceError` if there is none.
    """
    config = device.config
    pieces = _pieces(config, address, count)
    packets = [packet_of(config, commands.Read(at, words)) for at, words in pieces]
    bodies = _exchange(device, packets, on_progress)
    return np.frombuffer(b"".join(bodies), np.uint8).reshape(count, config.stream_bytes)


def _pieces(config: Config, address: int, count: int) -> Iterator[tuple[int, int]]:
    """Address and number of the words of each piece."""
    if not config.tensor_words:
        raise DeviceError(
            f"the device {config.name!r} has no tensor memory: build one with tensor_words"
        )
    if address < 0 or count < 0 or address + count > config.tensor_words:
        raise FormatError(
            f"words {address:,} to {address + count - 1:,} are not all in tensor memory, whose "
            f"{config.tensor_words:,} words end at {config.tensor_words - 1:,}"
        )
    most = max(1, PIECE // config.stream_bytes)
    for at in range(address, address + count, most):
        yield at, min(most, address + count - at)


def _exchange(device: Holder, packets: list[bytes], on_progress) -> list[bytes]:
    with device.turn():
        answers = device.transport.exchange(packets, in_shares(on_progress, len(packets)))
    return [
        answer_of(device.config, answer).check(packet).body
        for packet, answer in zip(packets, answers, strict=True)
    ]
