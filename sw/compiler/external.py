"""Tensors in external memory, and the COPYs between there and tensor memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Copy
from ..errors import FormatError
from .tensors import RawTensor, Tensor, to_bytes, to_elements

PIECE = 64
"""Words that a COPY of a large tensor moves at least: what waits for some of a tensor's rows waits
for little more, and the bus has always something to do."""


class Piece(NamedTuple):
    """A part of a copy: the command, and the words of tensor memory that it reads or writes."""

    copy: Copy
    words: range


@dataclass(frozen=True)
class ExternalTensor:
    """A tensor in external memory, from word `address` on: a word is as large as tensor memory's.

    It lies there word by word as in tensor memory, which is copied the fastest; or `packed`, as an
    array does, one row of elements after another without anything between: each whole bytes.
    """

    config: Config
    address: int
    inside: Tensor
    """As it is in tensor memory, wherever it is there."""
    packed: bool = False

    @property
    def rows(self) -> int:
        return self.inside.rows

    @property
    def columns(self) -> int:
        return self.inside.columns

    @property
    def row_bytes(self) -> int:
        """Of a row of a packed one."""
        return -(-self.columns * self.inside.bits // 8)

    @property
    def byte(self) -> int:
        """Where it begins."""
        return self.address * self.config.stream_bytes

    @property
    def words(self) -> int:
        """That hold rows."""
        if self.packed:
            return -(-self.rows * self.row_bytes // self.config.stream_bytes)
        return self.inside.words

    def to_words(self, raw: np.ndarray) -> np.ndarray:
        """Raw elements [rows, columns] as words, uint8 [words, bytes of a word].

        Raises `FormatError` for another shape.
        """
        if not self.packed:
            return self.inside.to_words(raw)
        self.inside.check_shape(raw)
        if self.inside.bits == 4:
            raw = np.pad(raw, ((0, 0), (0, raw.shape[1] % 2)))
        content = to_bytes(raw, self.inside.bits)
        size = self.config.stream_bytes
        return np.frombuffer(content.ljust(self.words * size, b"\0"), np.uint8).reshape(-1, size)

    def from_words(self, words: np.ndarray) -> np.ndarray:
        """The raw elements [rows, columns] that lie in words [words, bytes of a word]."""
        if not self.packed:
            return self.inside.from_words(words)
        content = words.reshape(-1)[: self.rows * self.row_bytes].reshape(self.rows, -1)
        return to_elements(content, self.inside.bits)[:, : self.columns]

    def pieces(self, tensor: Tensor, outward: bool) -> Iterator[Piece]:
        """The COPYs of all rows to or from a `tensor` in tensor memory, one row block after
        another, or several of few words.

        Raises `FormatError` unless it has the same shape and elements.
        """
        kinds = [(type(t) is RawTensor, t.rows, t.columns, t.bits) for t in (self.inside, tensor)]
        if kinds[0] != kinds[1]:
            raise FormatError(
                f"[{self.rows}, {self.columns}] of {self.inside.bits} bits in external memory is "
                f"no [{tensor.rows}, {tensor.columns}] of {tensor.bits} bits in tensor memory"
            )
        if not self.packed:
            here = replace(self.inside, address=self.address)
            for start, there in zip(tensor.planes, here.planes, strict=True):
                yield from self._windows(tensor, start, there, outward)
            return
        each = _together(self.config, tensor.groups)
        for first in range(0, self.rows, each):
            rows = min(each, self.rows - first)
            copy = Copy(
                outward=int(outward),
                external=self.byte + first * self.row_bytes,
                row_bytes=self.row_bytes,
                stride=self.row_bytes,
                rows=rows,
                tensor=tensor.address + first // self.config.lanes * tensor.groups,
                pitch=tensor.groups,
            )
            yield Piece(copy, words_of(self.config, copy))

    def _windows(self, tensor: Tensor, start: int, there: int, outward: bool) -> Iterator[Piece]:
        """Of one plane, whose words begin at `start` in tensor memory, and at `there` here."""
        size, windows = self.config.stream_bytes, tensor.windows
        each = _together(self.config, tensor.groups) // self.config.lanes
        for first in range(0, windows, each):
            words = min(each, windows - first) * tensor.groups
            copy = Copy(
                outward=int(outward),
                whole=1,
                external=(there + first * tensor.groups) * size,
                row_bytes=words * size,
                tensor=start + first * tensor.groups,
            )
            yield Piece(copy, words_of(self.config, copy))


def words_of(config: Config, copy: Copy) -> range:
    """Words of tensor memory, from the first to the last that a COPY touches."""
    size = config.stream_bytes if copy.whole else config.group_bytes
    windows = copy.rows if copy.whole else -(-copy.rows // config.lanes)
    words = (windows - 1) * copy.pitch - (-copy.row_bytes // size)
    return range(copy.tensor, copy.tensor + words)


def _together(config: Config, groups: int) -> int:
    """Rows that one COPY moves: of whole row blocks, `PIECE` words at least."""
    words = config.rows // config.lanes * groups
    return config.rows * -(-PIECE // words)
