"""Headers of commands and responses: fields one after another, behind them a CRC."""

from binascii import crc_hqx
from dataclasses import field, fields
from functools import cache
from typing import ClassVar, Self

from ..config import HEADER_BYTES
from .codes import Opcode, Refused, Status
from .engines import WAITS_BITS

CRC_INITIAL = 0xFFFF
HEADER_WORDS = HEADER_BYTES // 2
"""Halfwords of a header; the last one is its CRC."""
CHECKED_BYTES = HEADER_BYTES - 2
"""Of a header, those that its CRC covers."""
WAITS_AT = 8 * CHECKED_BYTES - 32
"""First bit of the field `waits`, which lies at the end of a header."""

BEHIND_WAITS = WAITS_AT + WAITS_BITS
"""The first of the two bits behind it."""


def bits(width: int, signed: bool = False, **options):
    return field(metadata={"bits": width, "signed": signed}, **options)


def waiting():
    return field(default=0, metadata={"bits": WAITS_BITS, "signed": False, "at": WAITS_AT})


def behind_waits(number: int = 0):
    return field(default=0, metadata={"bits": 1, "signed": False, "at": BEHIND_WAITS + number})


class Header:
    """What commands and responses share: fields behind the opcode and the tag."""

    @classmethod
    @cache
    def layout(cls) -> dict[str, tuple[int, bool]]:
        """Width in bits of each field, and whether it is signed (two's complement), in order; but
        for `waits` and the bits behind it, which do not follow the others."""
        return {
            name: (bits, signed) for name, (bits, signed, at) in cls._places().items() if not at
        }

    @classmethod
    def behind(cls) -> dict[str, int]:
        """The fields of a bit behind `waits`, and which bit that is."""
        places = {name: place for name, (_, _, place) in cls._places().items()}
        return {name: place for name, place in places.items() if place > WAITS_AT}

    @classmethod
    @cache
    def _places(cls) -> dict[str, tuple[int, bool, int]]:
        """Width, signedness, and first bit if the field does not follow the one before it."""
        return {
            f.name: (f.metadata["bits"], f.metadata["signed"], f.metadata.get("at", 0))
            for f in fields(cls)
            if f.metadata
        }

    def _encoded(self, opcode: int, tag: int) -> bytes:
        """The header. Raises `ValueError` if a field's value does not fit."""
        word, at = (opcode & 0xFF) | (tag & 0xFF) << 8, 16
        for name, (width, signed, place) in self._places().items():
            value = int(getattr(self, name))
            low, high = (-1 << width - 1, 1 << width - 1) if signed else (0, 1 << width)
            if not low <= value < high:
                raise ValueError(f"{type(self).__name__}: {name} {value} is not of {width} bits")
            word |= (value & (1 << width) - 1) << (place or at)
            at += width
        return sealed(word.to_bytes(CHECKED_BYTES, "little"))

    @classmethod
    def _decoded(cls, header: bytes, **more: int) -> Self:
        word, at, values = int.from_bytes(header[:CHECKED_BYTES], "little"), 16, {}
        for name, (width, signed, place) in cls._places().items():
            value = word >> (place or at) & (1 << width) - 1
            values[name] = value - (value >> width - 1 << width) if signed else value
            at += width
        return cls(**values, **more)


class CommandHeader(Header):
    opcode: ClassVar[Opcode]

    def encode(self, tag: int = 0) -> bytes:
        """The header of 32 bytes. Raises `ValueError` if a field's value does not fit into it."""
        return self._encoded(self.opcode, tag)


def check(header: bytes) -> None:
    """Raise `Refused` (BAD_CHECK) unless `header` is whole and its CRC right."""
    if len(header) < HEADER_BYTES or sealed(header[:CHECKED_BYTES]) != header[:HEADER_BYTES]:
        raise Refused(Status.BAD_CHECK)


def sealed(body: bytes) -> bytes:
    """A header's first thirty bytes, and their CRC."""
    return body + crc16(body).to_bytes(2, "little")


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE of `data` (polynomial 0x1021, initial 0xFFFF, most significant first)."""
    return crc_hqx(data, CRC_INITIAL)
