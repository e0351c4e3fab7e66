"""What a ROWS fills the activations' buffer with, and a DENSE that of weights, as
`hw/isa/descriptors.py` defines it."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Dense, Image, Rows

WORDS = 1 << 16
"""Steps are modulo so many words."""
COORDINATES, TAPS = 1 << 13, 1 << 4
"""Coordinates are of so many values, half of them negative; a tap's line is modulo so many."""
STEPS = ("column", "line", "image", "tap", "tap_line")


def wrong(config: Config, image: Image) -> bool:
    """Whether there is nothing to walk over, or a step over more lanes than there are."""
    some = image.out_width, image.out_height, image.kernel_width, image.kernel_height, image.groups
    return 0 in some or any(getattr(image, f"{step}_lanes") >= config.lanes for step in STEPS)


def misplaced(config: Config, image: Image, rows: Rows) -> bool:
    """Whether a ROWS begins where its IMAGE has no pixel, tap or group."""
    most = config.group if rows.transposed else config.lanes if rows.grouped else 1
    return (
        rows.transposed + rows.grouped > config.training
        or rows.missing >= most
        or rows.column >= image.out_width
        or rows.line >= image.out_height
        or rows.tap_x >= image.kernel_width
        or rows.tap_y >= image.kernel_height
        or rows.group >= image.groups
        or max(rows.start_lanes, rows.offset_lanes) >= config.lanes
    )


def rows(config: Config, image: Image, rows: Rows, memory: np.ndarray) -> tuple[np.ndarray, bool]:
    """The groups [groups, R, bytes of a group] out of `memory` [words, bytes of a word], and
    whether one of them would have been read outside the ROWS' words: it is zeros."""
    if rows.transposed:
        return _transposed(config, image, rows, memory)
    if rows.grouped:
        there = rows.groups - rows.missing
        got, outside = _groups(config, image, rows, memory, rows.groups, there, rows.rows)
        of_rows = np.zeros((rows.groups, config.rows, got.shape[2]), np.uint8)
        of_rows[:, : rows.rows] = got.transpose(1, 0, 2)
        return of_rows, outside
    return _groups(config, image, rows, memory, config.rows, rows.rows, rows.groups)


def _groups(
    config: Config,
    image: Image,
    rows: Rows,
    memory: np.ndarray,
    pixels: int,
    there: int,
    groups: int,
) -> tuple[np.ndarray, bool]:
    """So many groups [groups, pixels, bytes of a group] of so many pixels, of which only the first
    ones are `there`; and whether one would have been read outside the ROWS' words."""
    word, lane, x, y = _pixels(config, image, rows, pixels)
    step_word, step_lane, dx, dy = _taps(image, rows, config.lanes, groups)
    lane = lane + step_lane[:, None]
    word = (word + step_word[:, None] + lane // config.lanes * image.pitch) % WORDS
    x, y = x + dx[:, None], y + dy[:, None]
    wanted = (x >= 0) & (x < image.width) & (y >= 0) & (y < image.height)
    wanted &= np.arange(pixels) < there
    inside = word < rows.words
    lanes = memory.reshape(len(memory), config.lanes, -1)
    address = np.where(wanted & inside, rows.source + word, 0)
    got = lanes[address, lane % config.lanes].copy()
    got[~(wanted & inside)] = 0
    return got, bool((wanted & ~inside).any())


def _transposed(
    config: Config, image: Image, rows: Rows, memory: np.ndarray
) -> tuple[np.ndarray, bool]:
    """The same of transposed rows: element p of a row's group is its element of pixel p."""
    size, pixels = config.group, rows.groups * config.group
    blocks = -(-rows.rows // size)
    there = pixels - rows.missing
    got, outside = _groups(config, image, rows, memory, pixels, there, blocks)
    nibbles = config.format.bits == 4
    elements = np.stack([got & 15, got >> 4], axis=3) if nibbles else got
    elements = elements.reshape(blocks, rows.groups, size, size, -1).transpose(1, 0, 3, 2, 4)
    across = np.zeros((rows.groups, config.rows, size, elements.shape[4]), np.uint8)
    across[:, : blocks * size] = elements.reshape(rows.groups, blocks * size, size, -1)
    if nibbles:
        # The lower one of a byte comes first.
        across = across[:, :, 0::2] | across[:, :, 1::2] << 4
    return across.reshape(rows.groups, config.rows, -1), outside


def dense_wrong(config: Config, dense: Dense) -> bool:
    """Whether a DENSE's slots are not whole groups of a page, or none."""
    depth, size = config.weight_slots, config.group
    slots = -(-dense.count // size) * size
    first = dense.address % depth
    return (
        dense.count == 0
        or dense.address % size != 0
        or dense.address >= 2 * depth
        or first + slots > depth
    )


def dense(config: Config, dense: Dense, memory: np.ndarray) -> tuple[np.ndarray, bool]:
    """The weights of whole groups of slots [slots, bytes of C elements], and whether one would have
    been read outside the DENSE's words."""
    slots, blocks = -(-dense.count // config.group) * config.group, config.columns // config.group
    window, lane = np.divmod(np.arange(slots), config.lanes)
    at = window[:, None] * dense.pitch + np.arange(blocks)
    wanted = (np.arange(slots) < dense.count)[:, None] & (np.arange(blocks) < dense.groups)
    inside = at < dense.words
    lanes = memory.reshape(len(memory), config.lanes, -1)
    address = np.where(wanted & inside, dense.source + at, 0)
    groups = lanes[address, lane[:, None]].copy()
    groups[~(wanted & inside)] = 0
    return groups.reshape(slots, -1), bool((wanted & ~inside).any())


def _pixels(config: Config, image: Image, rows: Rows, count: int) -> np.ndarray:
    """Word, lane, x and y of each of so many output pixels' first tap, [4, count]."""
    column, line, x, y = rows.column, rows.line, rows.x, rows.y
    word, lane, pixels = rows.start_words, rows.start_lanes, []
    abreast = (1 << image.abreast) - 1
    for number in range(count):
        pixels.append((word, lane, x, y))
        if number & abreast != abreast:
            # The next image's row lies beside.
            lane += 1
            word, lane = (word + lane // config.lanes * image.pitch) % WORDS, lane % config.lanes
            continue
        step, column, x = "column", column + 1, _coordinate(x + image.stride_x)
        if column == image.out_width:
            step, column, x = "line", 0, image.first_x
            line, y = line + 1, _coordinate(y + image.stride_y)
            if line == image.out_height:
                step, line, y = "image", 0, image.first_y
        word, lane = _moved(config.lanes, image, word, lane, step)
    return np.array(pixels).T


def _taps(image: Image, rows: Rows, lanes: int, groups: int) -> np.ndarray:
    """For each of so many groups of a row how far it lies from the row's first tap: words, lanes,
    pixels along x and along y, [4, groups]."""
    group, tap_x, tap_y = rows.group, rows.tap_x, rows.tap_y
    word, lane, taps = rows.offset_words, rows.offset_lanes, []
    for _ in range(groups):
        taps.append((word + group, lane, tap_x * image.dilation_x, tap_y * image.dilation_y))
        group += 1
        if group < image.groups:
            continue
        group, tap_x, step = 0, tap_x + 1, "tap"
        if tap_x == image.kernel_width:
            tap_x, tap_y, step = 0, (tap_y + 1) % TAPS, "tap_line"
        word, lane = _moved(lanes, image, word, lane, step)
    return np.array(taps).T


def _coordinate(value: int) -> int:
    return (value + COORDINATES // 2) % COORDINATES - COORDINATES // 2


def _moved(lanes: int, image: Image, word: int, lane: int, step: str) -> tuple[int, int]:
    """The place that lies a step further."""
    lane += getattr(image, f"{step}_lanes")
    word += getattr(image, f"{step}_words") + lane // lanes * image.pitch
    return word % WORDS, lane % lanes
