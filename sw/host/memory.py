"""Tensor memory and external memory from the host's side: whole words there and back, in pieces."""

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
    device: Holder,
    address: int,
    data: Any,
    on_progress: Callable[[float], None] | None = None,
    external: bool = False,
) -> None:
    """Fill words of tensor memory, from word `address` on, with the bytes of `data`; or, if it is
    to be `external`, of external memory, whose word 0 are its first bytes.

    A word is a beat of the host stream, `config.stream_bytes` bytes. `data` is bytes, or an array
    whose elements go in their own order and as they lie in memory. Raises `FormatError` if it is no
    whole number of words, or would go beyond the memory's end; `DeviceError` if there is no such
    memory. Whether external memory took it, `Flag.EXTERNAL` tells.
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
    for at, words in _pieces(config, address, count, external):
        first = (at - address) * config.stream_bytes
        payload = bytes(content[first : first + words * config.stream_bytes])
        packets.append(packet_of(config, commands.Write(at, words, int(external)), payload))
    _exchange(device, packets, on_progress)


def read(
    device: Holder,
    address: int,
    count: int,
    on_progress: Callable[[float], None] | None = None,
    external: bool = False,
) -> np.ndarray:
    """Words `address` to ``address + count - 1`` of tensor memory, or of `external` memory, uint8
    [count, bytes of a word].

    Raises `FormatError` if they go beyond the memory's end; `DeviceError` if there is none.
    """
    config = device.config
    pieces = _pieces(config, address, count, external)
    packets = [packet_of(config, commands.Read(at, words, int(external))) for at, words in pieces]
    bodies = _exchange(device, packets, on_progress)
    return np.frombuffer(b"".join(bodies), np.uint8).reshape(count, config.stream_bytes)


def _pieces(config: Config, address: int, count: int, external: bool) -> Iterator[tuple[int, int]]:
    """Address and number of the words of each piece."""
    name, field = ("external", "external_bits") if external else ("tensor", "tensor_words")
    words = (1 << config.external_bits) // config.stream_bytes if external else config.tensor_words
    if not getattr(config, field):
        raise DeviceError(
            f"the device {config.name!r} has no {name} memory: build one with {field}"
        )
    if address < 0 or count < 0 or address + count > words:
        raise FormatError(
            f"words {address:,} to {address + count - 1:,} are not all in {name} memory, whose "
            f"{words:,} words end at {words - 1:,}"
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
