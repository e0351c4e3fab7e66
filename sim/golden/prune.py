"""What a PRUNE makes of a tensor's weights, as `hw/isa/descriptors.py` defines it."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Flag
from ...hw.isa.descriptors import Prune
from . import numbers

MAGNITUDE, HELD = 0x7FFFFFFF, 1 << 32
"""Bits of a weight that are compared; and what says of one that it is kept already."""


def refused(config: Config, prune: Prune) -> tuple[bool, bool]:
    """Whether its words are not all in tensor memory, and whether it asks for what there is not."""
    size = config.tensor_words
    outside = any(
        count == 0 or first + count > size
        for first, count in ((prune.source, prune.words), (prune.address, prune.room))
    )
    wrong = 0 in (prune.inputs, prune.outputs) or not 1 <= prune.kept <= config.group
    return outside or prune.backward >= size, wrong


def run(config: Config, memory: np.ndarray, prune: Prune) -> set[Flag]:
    """Carry it out on `memory`, uint8 [words, bytes of a word]; returns the flags that it sets."""
    flags: set[Flag] = set()
    for row in range(prune.inputs):
        for column in range(prune.outputs):
            if prune.held:
                square, misses = _kept_square(config, memory, prune, row, column)
                flags |= misses
            else:
                square = _square(config, memory, prune, row, column)
            if square is None:
                return flags | {Flag.FAULT}
            payloads = prune.forward_indices, prune.forward_pitch
            ways = [(square.T, 0, *payloads, row, column)]
            if prune.across:
                payloads = prune.backward_indices, prune.backward_pitch
                ways.append((square, prune.backward, *payloads, column, row))
            for lines, *place in ways:
                flags |= _write(config, memory, prune, lines, *place)
    return flags


def _square(config: Config, memory, prune: Prune, row: int, column: int) -> np.ndarray | None:
    """M x M weights, raw; nothing if they are not all in the tensor's words."""
    size, lanes = config.group, config.lanes
    parts = 32 // config.format.bits
    windows = row * (size // lanes) + np.arange(size // lanes)
    words = windows[:, None] * prune.pitch + column * parts + np.arange(parts)
    if words.max() >= prune.words:
        return None
    groups = memory[prune.source + words].reshape(len(windows), parts, lanes, config.group_bytes)
    return groups.transpose(0, 2, 1, 3).reshape(size, -1).view("<u4")


def _kept_square(
    config: Config, memory, prune: Prune, row: int, column: int
) -> tuple[np.ndarray | None, set[Flag]]:
    """The same of weights that are kept, each with the bit `HELD`, and zeros; and flags."""
    size, lanes, rows = config.group, config.lanes, config.rows
    parts, across = 32 // config.format.bits, config.columns // config.group
    block, place = divmod(row, rows)
    windows = (block * prune.kept + np.arange(prune.kept)) * (rows // lanes) + place // lanes
    words = windows[:, None] * prune.pitch + column * parts + np.arange(parts)
    if words.max() >= prune.words:
        return None, set()
    groups = memory[prune.source + words].reshape(-1, parts, lanes, config.group_bytes)
    weights = np.ascontiguousarray(groups[:, :, place % lanes]).reshape(prune.kept, -1).view("<u4")
    units, flags = config.format.bits // 4, set[Flag]()
    square = np.zeros((size, size), np.uint64)
    block, part = divmod(column, across)
    for n in range(prune.kept):
        position = (row * prune.kept + n) * across + part
        window, unit = divmod(position, lanes * units)
        at = block * prune.forward_pitch + prune.forward_indices + window
        if at >= prune.room:
            flags.add(Flag.FAULT)
            at = 0
        pairs = memory[prune.address + at][unit * size // 2 :][: size // 2]
        places = np.stack([pairs & 15, pairs >> 4], axis=1).ravel() % size
        square[places, np.arange(size)] = weights[n].astype(np.uint64) | np.uint64(HELD)
    return square, flags


def kept(lines: np.ndarray, n: int) -> np.ndarray:
    """Places of the `n` largest magnitudes of each line [..., M], in order, `HELD` ones first:
    [..., n]."""
    size = (lines & MAGNITUDE).astype(np.int64) | (lines.astype(np.int64) & HELD)
    order = np.argsort(-size, axis=-1, kind="stable")
    return np.sort(order[..., :n], axis=-1)


def _write(
    config: Config, memory, prune: Prune, lines, first, indices, pitch, group: int, columns: int
) -> set[Flag]:
    """Slots of lines [M, M], of a group along the axis and so many times M columns before."""
    places = kept(lines, prune.kept)
    chosen = np.take_along_axis(lines, places, axis=-1).astype(np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        raw = numbers.from_float(config.format, chosen.astype(np.float64))
    # A NaN is the one whose fraction is all ones.
    bits = config.format.code_bits - 1
    sign = chosen.view(np.uint32) >> 31 << bits
    raw = np.where(np.isnan(chosen), sign | (1 << bits) - 1, raw).astype(raw.dtype)
    flags: set[Flag] = set()
    across = config.columns // config.group
    block, part = divmod(columns, across)
    units = config.format.bits // 4
    for slot in range(prune.kept):
        position = (group * prune.kept + slot) * across + part
        pairs = places[::2, slot] | places[1::2, slot] << 4
        for content, word, number in (
            (raw[:, slot].tobytes(), 0, position * units),
            (pairs.astype(np.uint8).tobytes(), indices, position),
        ):
            window, unit = divmod(number, config.lanes * units)
            at = first + block * pitch + word + window
            if at >= prune.room:
                flags.add(Flag.FAULT)
                continue
            start = unit * (config.group // 2)
            row = memory[prune.address + at]
            row[start : start + len(content)] = np.frombuffer(content, np.uint8)
    return flags
