"""Why a product takes the cycles it takes: causes that add up to all of them.

A cycle of the array is R·C multiplications. What the device counted says how many cycles it issued
slots in and how many it waited; the weights say what of a slot was useful; a model of the plan
(`sw/compiler/timing.py`) says what the host's commands were that it waited for.
"""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from ...hw.config import Config
from ...hw.core import Core
from ...hw.formats import OutputFormat
from ...hw.output.lane_group import LaneGroup
from ..compiler.packing import PackedWeights

CAUSES = {
    "work": "multiplications by kept weights",
    "columns_uneven": "a group takes as long as its fullest column",
    "rows_idle": "the last block of rows is not full",
    "columns_idle": "the last block of columns is not full",
    "drain": "tiles end faster than their sums drain",
    "output": "results leave more slowly than they come",
    "settings": "bias and scale of column blocks are sent again",
    "pages": "operands are loaded again, or wait for a page",
    "host": "commands and operands come too slowly",
    "fill": "filling and emptying the array, once a product",
}
"""Every cause by its name, and what it is."""


RESPONSE = 4
"""Cycles that a row takes through the response writer, at most."""


def uneven(weights: PackedWeights, config: Config) -> tuple[float, float]:
    """Slots of a group, and weights that a column of it keeps, both on average."""
    slots = _slots(weights, config) / config.interleave
    return float(slots.mean()), float(weights.counts.mean())


def split(
    config: Config,
    rows: int,
    weights: PackedWeights,
    output: OutputFormat,
    counters: Mapping[str, int],
    waits: Mapping[str, int],
) -> dict[str, int]:
    """Cycles of a product with `rows` rows by cause, in whole cycles that add up to
    ``counters["cycles"]``; none if the device does not count.

    `counters` are the device's, `waits` the plan's expectation (`timing.waits`) of what it waits
    for: the waiting that was counted is settings' and pages' as far as they were expected, and the
    host's beyond.
    """
    if not counters["cycles"]:
        return {}
    exact = _issued(config, rows, weights)
    # A round waits for whole rounds of T cycles, of which the device counts one.
    stalled = {name: config.interleave * counters[f"stall_{name}"] for name in ("drain", "output")}
    waited = counters["stall_schedule"] + counters["stall_host"]
    exact |= {name: Fraction(cycles) for name, cycles in stalled.items()}
    exact |= _shared(waited, waits)
    rest = counters["cycles"] - sum(exact.values())
    # Results that still waited when the last slot had been issued.
    late = max(Fraction(0), rest - _emptying(config, output))
    exact |= {"output": exact["output"] + late, "fill": rest - late}
    return _whole(exact)


def _emptying(config: Config, output: OutputFormat) -> int:
    """Cycles from the last slot to the last output, at most, if no other result is before it."""
    row = max(config.columns_per_epilogue, config.row_beats(output))
    way = Core.drain_delay(config) + config.columns + LaneGroup.settle
    return way + config.tile_rows * row + config.header_beats + RESPONSE


def _slots(weights: PackedWeights, config: Config) -> np.ndarray:
    """Slots by group and column block."""
    wide = config.tile_columns
    padded = np.pad(weights.counts, ((0, 0), (0, -weights.shape[1] % wide))).astype(np.int64)
    return config.interleave * padded.reshape(len(padded), -1, wide).max(axis=2)


def _issued(config: Config, rows: int, weights: PackedWeights) -> dict[str, Fraction]:
    """The slots that are issued, by what their multipliers do."""
    slots = [int(s) for s in _slots(weights, config).sum(axis=0)]
    blocks, wide = -(-rows // config.rows), config.tile_columns
    issued = Fraction(blocks * sum(slots))
    in_rows = issued * rows / (blocks * config.rows)
    in_columns = sum(
        Fraction(rows, config.rows) * s * min(wide, weights.shape[1] - i * wide) / wide
        for i, s in enumerate(slots)
    )
    work = Fraction(rows * len(weights.values), config.macs_per_cycle)
    return {
        "work": work,
        "columns_uneven": in_columns - work,
        "rows_idle": issued - in_rows,
        "columns_idle": in_rows - in_columns,
    }


def _shared(waited: int, expected: Mapping[str, int]) -> dict[str, Fraction]:
    """The cycles that were waited, as expected; what is beyond that is the host's."""
    total = sum(expected.values())
    part = min(Fraction(1), Fraction(waited, total)) if total else Fraction(0)
    shared = {name: part * expected[name] for name in ("settings", "pages")}
    return shared | {"host": waited - sum(shared.values())}


def _whole(exact: Mapping[str, Fraction | int]) -> dict[str, int]:
    """Rounded so that the sum stays what it is: each ends where the exact ones up to it do."""
    whole, end, before = {}, Fraction(0), 0
    for name in CAUSES:
        end += exact[name]
        whole[name] = round(end) - before
        before += whole[name]
    return whole
