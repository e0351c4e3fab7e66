"""Tensors as they lie in tensor memory: rows dealt to the lanes in turn, in whole groups."""

from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import RAW_BITS
from ...hw.isa.host_stream import indices_payload
from ..errors import FormatError


@dataclass(frozen=True)
class Tensor:
    """Rows of elements from word `address` on.

    A window is one row for each lane; its word g holds group g of each: `Config.group_bytes` bytes.
    A row's last group is filled with zeros. Space is kept for whole blocks of R rows.
    """

    config: Config
    address: int
    rows: int
    columns: int
    bits: int
    """Of an element: the format's, or 8, 16 or 32 as an output has them."""

    @property
    def groups(self) -> int:
        """Of a row; a window has as many words."""
        return -(-self.columns * self.bits // (8 * self.config.group_bytes))

    @property
    def windows(self) -> int:
        """That hold rows."""
        return -(-self.rows // self.config.lanes)

    @property
    def words(self) -> int:
        """That hold rows."""
        return self.windows * self.groups

    @property
    def space(self) -> int:
        """Words that are kept for it."""
        return self.blocks * (self.config.rows // self.config.lanes) * self.groups

    @property
    def planes(self) -> range:
        """First words of its parts, each of which lies as a tensor of its own."""
        return range(self.address, self.address + 1)

    @property
    def place(self) -> range:
        """The words that are kept for it."""
        return range(self.address, self.address + self.space)

    def overlaps(self, other: "Tensor") -> bool:
        """Whether they share words."""
        return overlap(self.place, other.place)

    def windows_of(self, row_blocks: range) -> range:
        """Those that hold the rows of some blocks of R."""
        each = self.config.rows // self.config.lanes
        return range(row_blocks.start * each, min(row_blocks.stop * each, self.windows))

    @property
    def blocks(self) -> int:
        """Of R rows."""
        return -(-self.rows // self.config.rows)

    def stretch(self, row_blocks: range) -> tuple[int, int, int]:
        """Where the rows of some blocks lie: the first word, how many words they reach over, and
        how many lie from one window to the next."""
        windows = self.windows_of(row_blocks)
        return self.address + windows.start * self.groups, len(windows) * self.groups, self.groups

    def groups_of(self, column_block: int) -> range:
        """Groups of a row that a block of C columns reaches into."""
        columns, size = self.config.columns, 8 * self.config.group_bytes
        first = column_block * columns * self.bits // size
        return range(first, min(-(-(column_block + 1) * columns * self.bits // size), self.groups))

    def tile(self, row_blocks: range, column_block: int) -> list[range]:
        """Words that hold some blocks of R rows of a block of C columns."""
        groups = self.groups_of(column_block)
        starts = (self.address + window * self.groups for window in self.windows_of(row_blocks))
        return [range(start + groups.start, start + groups.stop) for start in starts]

    def part(self, first: int, rows: int) -> "Tensor":
        """Some of its rows as a tensor. Raises `FormatError` unless they begin in lane 0."""
        if first % self.config.lanes or not 0 <= first <= first + rows <= self.rows:
            raise FormatError(
                f"rows {first} to {first + rows} of {self.rows} are no tensor: the first one must "
                f"be in lane 0 of {self.config.lanes}"
            )
        address = self.address + first // self.config.lanes * self.groups
        return replace(self, address=address, rows=rows)

    def to_words(self, raw: np.ndarray) -> np.ndarray:
        """Raw elements [rows, columns] as words, uint8 [words, bytes of a word].

        Raises `FormatError` for another shape.
        """
        self.check_shape(raw)
        config = self.config
        row_bytes = self.groups * config.group_bytes
        padded = np.zeros((self.windows * config.lanes, row_bytes * 8 // self.bits), raw.dtype)
        padded[: self.rows, : self.columns] = raw
        packed = to_bytes(padded, self.bits)
        lanes = np.frombuffer(packed, np.uint8).reshape(
            self.windows, config.lanes, self.groups, config.group_bytes
        )
        return np.ascontiguousarray(lanes.swapaxes(1, 2)).reshape(self.words, -1)

    def check_shape(self, raw: np.ndarray) -> None:
        """Raises `FormatError` unless it is [rows, columns]."""
        if raw.shape != (self.rows, self.columns):
            raise FormatError(
                f"a tensor of {self.rows} x {self.columns} elements cannot hold {list(raw.shape)}"
            )

    def from_words(self, words: np.ndarray) -> np.ndarray:
        """The raw elements [rows, columns] that lie in words [words, bytes of a word]."""
        config = self.config
        lanes = words.reshape(self.windows, self.groups, config.lanes, config.group_bytes)
        flat = np.ascontiguousarray(lanes.swapaxes(1, 2)).reshape(self.windows * config.lanes, -1)
        return to_elements(flat, self.bits)[: self.rows, : self.columns]


LIMB_BITS = 32


@dataclass(frozen=True)
class RawTensor(Tensor):
    """Exact sums, in two's complement of `RAW_BITS`, as `OutputFormat.RAW` stores them.

    Each limb of 32 bits has a plane, the least significant one first: a tensor of 32-bit elements,
    `plane` words after the one before. A sum counts in units of ``2**format.product_unit_log2``.
    """

    bits: int = LIMB_BITS

    @property
    def plane(self) -> int:
        """Words from one plane to the next."""
        return super().space

    @property
    def planes(self) -> range:
        return range(self.address, self.address + self.space, self.plane)

    @property
    def limbs(self) -> int:
        return RAW_BITS // LIMB_BITS

    @property
    def words(self) -> int:
        """From its first to the last that holds rows."""
        return (self.limbs - 1) * self.plane + super().words

    @property
    def space(self) -> int:
        """Words that are kept for it."""
        return self.limbs * self.plane

    def tile(self, row_blocks: range, column_block: int) -> list[range]:
        """The same in all planes."""
        words = super().tile(row_blocks, column_block)
        further = (first - self.address for first in self.planes)
        return [range(n.start + first, n.stop + first) for first in further for n in words]

    def to_words(self, raw: np.ndarray) -> np.ndarray:
        """Integers [rows, columns] as words, uint8 [words, bytes of a word].

        Raises `FormatError` for another shape, and for one that `RAW_BITS` cannot hold.
        """
        sums = np.asarray(raw, object)
        limit = 1 << RAW_BITS - 1
        if sums.size and not (-limit <= sums.min() and sums.max() < limit):
            raise FormatError(f"an exact sum in memory has {RAW_BITS} bits: some have more")
        words = np.zeros((self.words, self.config.stream_bytes), np.uint8)
        plane = Tensor(self.config, self.address, self.rows, self.columns, LIMB_BITS)
        for limb in range(self.limbs):
            part = sums >> LIMB_BITS * limb & (1 << LIMB_BITS) - 1
            first = limb * self.plane
            words[first : first + plane.words] = plane.to_words(part.astype("<u4"))
        return words

    def from_words(self, words: np.ndarray) -> np.ndarray:
        """The sums [rows, columns] that lie in words [words, bytes of a word]: Python integers."""
        plane = Tensor(self.config, self.address, self.rows, self.columns, LIMB_BITS)
        sums = np.zeros((self.rows, self.columns), object)
        for limb in range(self.limbs):
            first = limb * self.plane
            part = plane.from_words(words[first : first + plane.words]).astype(object)
            sums += part << LIMB_BITS * limb
        negative = sums >> RAW_BITS - 1
        return sums - (negative << RAW_BITS)


def to_bytes(raw: np.ndarray, bits: int) -> bytes:
    """Rows of raw elements of so many bits, one after another: two of four bits share a byte."""
    return indices_payload(raw) if bits == 4 else raw.tobytes()


def to_elements(rows: np.ndarray, bits: int) -> np.ndarray:
    """The elements of rows of bytes, uint8 [rows, bytes]."""
    if bits == 4:
        return np.stack([rows & 15, rows >> 4], axis=2).reshape(len(rows), -1)
    return rows.view(f"<u{bits // 8}")


def overlap(one: range, other: range) -> bool:
    """Whether the ranges have a word in common."""
    return one.start < other.stop and other.start < one.stop
