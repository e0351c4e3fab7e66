"""What a PRUNE makes of a tensor's weights, as `hw/isa/descriptors.py` defines it."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Flag
from ...hw.isa.descriptors import Prune
from . import numbers

MAGNITUDE = 0x7FFFFFFF


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


def kept(lines: np.ndarray, n: int) -> np.ndarray:
    """Places of the `n` largest magnitudes of each line [..., M], in order: [..., n]."""
    order = np.argsort(-(lines & MAGNITUDE).astype(np.int64), axis=-1, kind="stable")
    return np.sort(order[..., :n], axis=-1)


def _write(
    config: Config, memory, prune: Prune, lines, first, indices, pitch, group: int, columns: int
) -> set[Flag]:
    """Slots of lines [M, M], of a group along the axis and so many times M columns before."""
    places = kept(lines, prune.kept)
    chosen = np.take_along_axis(lines, places, axis=-1).view(np.float32)
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
