"""The golden model of a RUN's side operands: addends and masks out of tensor memory."""

from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.formats import RAW_BITS, OutputFormat
from ...hw.isa.codes import Status
from ...hw.isa.commands import Run, Side
from . import numbers


@dataclass(frozen=True)
class Operands:
    """Of all rows that a RUN finishes, [rows, C]: exact addends in the sum's unit, where outputs
    are masked, and whether an addend was not finite (and so counts as zero)."""

    addends: np.ndarray
    masked: np.ndarray
    nonfinite: bool


def flaw(config: Config, run: Run, side: Side) -> Status:
    """What is wrong with the side operands or the RAW planes of a RUN."""
    raw = run.output == OutputFormat.RAW
    wanted = run.addend or run.raw_addend or run.mask
    if not config.tensor_words:
        return Status.BAD_FIELD if wanted or raw else Status.OK
    output = OutputFormat(run.output)
    bits, first = _addend_bits(config, run), _first(run)
    if (
        ((wanted or raw) and not run.store)
        or (run.raw_addend and not run.addend)
        or (raw and (run.relu or run.mask or side.output_plane < run.words))
        or (wanted and run.offset * 8 % (config.store_bytes * output.result_bits))
        or (run.addend and first * bits // (8 * config.group_bytes) >= side.addend_groups)
    ):
        return Status.BAD_FIELD
    size = config.tensor_words
    planes = config.raw_limbs if run.raw_addend else 1
    stored = _span(run.destination, run.words, side.output_plane, output.limbs)
    read = _span(
        (run.destination + side.addend_offset) % size, side.addend_words, side.addend_plane, planes
    )
    mask = _span((run.destination + side.mask_offset) % size, run.words, 0, 1)
    alike = raw if run.raw_addend else not raw and output.result_bits == bits
    planes_alike = not raw or side.addend_plane == side.output_plane
    in_place = alike and planes_alike and side.addend_pitch == run.pitch and not side.addend_offset
    if (
        (run.store and stored.stop > size)
        or (run.addend and read.stop > size)
        or (run.mask and mask.stop > size)
        or (run.addend and not in_place and _overlap(read, stored))
        or (run.mask and side.mask_offset and _overlap(mask, stored))
    ):
        return Status.BAD_ADDRESS
    return Status.OK


def operands(config: Config, memory: np.ndarray, run: Run, side: Side) -> Operands:
    """What lies in `memory` [words, bytes of a word] for a RUN without a flaw."""
    size, rows = config.tensor_words, run.row_blocks * config.rows
    addends, masked = (
        np.zeros((rows, config.columns), object),
        np.zeros((rows, config.columns), bool),
    )
    nonfinite = False
    if run.addend:
        base = (run.destination + side.addend_offset) % size
        layout = side.addend_words, side.addend_pitch, side.addend_groups
        bits = _addend_bits(config, run)
        for limb in range(config.raw_limbs if run.raw_addend else 1):
            here = base + limb * side.addend_plane
            raw = _elements(config, memory, here, *layout, _first(run), bits, rows)
            if run.raw_addend:
                addends += raw.astype(object) << 32 * limb
                continue
            finite = numbers.is_finite(config.format, raw)
            nonfinite = not finite.all()
            exact = numbers.significands(config.format, np.where(finite, raw, 0)).astype(object)
            addends = exact << -config.format.unit_log2
    if run.mask:
        base, bits = (run.destination + side.mask_offset) % size, 8 * OutputFormat(run.output).bytes
        layout = run.words, run.pitch, run.groups
        raw = _elements(config, memory, base, *layout, _first(run), bits, rows)
        signless = raw & ((1 << bits - 1) - 1)
        masked = (raw if run.output == OutputFormat.INT8 else signless) == 0
    return Operands(addends, masked, nonfinite)


def limbs(sums: np.ndarray) -> np.ndarray:
    """Sums [rows, C] as RAW: uint32 [4, rows, C], the least significant limb first."""
    whole = sums % (1 << RAW_BITS)
    return np.stack([(whole >> at & 0xFFFFFFFF).astype("<u4") for at in range(0, RAW_BITS, 32)])


def _first(run: Run) -> int:
    """Which element of its row the RUN's column 0 is."""
    return run.offset * 8 // OutputFormat(run.output).result_bits


def _addend_bits(config: Config, run: Run) -> int:
    return 32 if run.raw_addend else config.format.bits


def _span(first: int, words: int, plane: int, planes: int) -> range:
    return range(first, first + words + (planes - 1) * plane)


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _elements(
    config: Config,
    memory: np.ndarray,
    base: int,
    words: int,
    pitch: int,
    groups: int,
    first: int,
    bits: int,
    rows: int,
) -> np.ndarray:
    """Elements `first` to ``first + C - 1`` of each row, raw, zeros where there are none."""
    found = np.zeros((rows, config.columns), np.uint8 if bits < 16 else f"u{bits // 8}")
    for row in range(rows):
        window, lane = divmod(row, config.lanes)
        if window * pitch + groups > words:
            break
        held = memory[base + window * pitch :][:groups].reshape(groups, config.lanes, -1)[:, lane]
        held = np.ascontiguousarray(held).reshape(-1)
        if bits == 4:
            held = np.stack([held & 15, held >> 4], axis=1).reshape(-1)
        mine = held.view(found.dtype)[first : first + config.columns]
        found[row, : len(mine)] = mine
    return found
