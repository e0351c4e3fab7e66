"""Whether the accumulator holds every sum of a product, before any of it is computed.

The accumulator holds `hw.config.MAX_TERMS` products of any elements. A longer sum wraps around in
the hardware, unnoticed, if it leaves the accumulator's range; so a product with more kept weights
in a column is refused unless its own magnitudes say that it stays inside. (The bias is added in the
epilogue, which is wider by a bit: it takes nothing from the range.)

With binary32 accumulation a sum cannot wrap, but the epilogue takes it as an integer of the same
width, and loses its top bits beyond; the bound allows for what the additions round up.
"""

import math

import numpy as np

from ...hw.config import MAX_TERMS, RAW_HEADROOM, Accumulation, Config
from ...sim.golden.numbers import to_float
from ..errors import FormatError
from .gradients import DenseRows
from .kept import KeptRows
from .packing import PackedWeights
from .pruning import PrunedWeights

MOST_RAW_TERMS = MAX_TERMS << RAW_HEADROOM
"""Products whose RAW sum is proven to fit: 2**32 times as many as the accumulator holds, since on
its way to memory a sum is that much wider. An addend that is an element, and a bias, count too: as
one product and as `MAX_TERMS`."""
ROUNDING = {Accumulation.EXACT: 2.0**-52, Accumulation.FP32: 2.0**-23}
"""What a bound may be short of for each term: this module's own float64 rounds, and the adder."""


def check_sums(config: Config, x: np.ndarray, weights: PackedWeights) -> None:
    """Raise `FormatError` if a sum of ``x @ weights`` could leave the accumulator.

    `x` is raw elements [B, K]. Columns of at most `MAX_TERMS` kept weights never do.
    """
    terms = weights.counts.sum(axis=0, dtype=np.int64)
    long = np.flatnonzero(terms > MAX_TERMS)
    if not len(long):
        return
    limit = math.ldexp(1.0, config.accumulator_bits - 1 + config.format.product_unit_log2)
    magnitudes = np.abs(to_float(config.format, x))
    largest = magnitudes.max(initial=0)
    rows, columns = weights.places()
    order = np.argsort(columns, kind="stable")
    ends = np.cumsum(terms)
    for column in long.tolist():
        mine = order[ends[column] - terms[column] : ends[column]]
        kept = np.abs(to_float(config.format, weights.values[mine]))
        slack = math.exp(int(terms[column]) * ROUNDING[config.accumulation])
        # The cheap bound first: it does for all but extreme products.
        if largest * kept.sum() * slack < limit:
            continue
        bounds = magnitudes[:, rows[mine]] @ kept * slack
        if (bounds >= limit).any():
            row = int(np.argmax(bounds))
            raise FormatError(
                f"the sum of row {row} and column {column}, of {terms[column]:,} kept weights, may "
                f"reach {bounds[row]:g}, and the accumulator holds less than {limit:g}: cut K into "
                f"parts of at most {MAX_TERMS:,} kept weights, which always fit, and add their "
                "products"
            )


def terms_of(
    weights: PackedWeights | DenseRows | PrunedWeights | KeptRows, biased: bool, before: int
) -> int:
    """Products that a sum in a program holds at most, with `before` of them in its addend.

    Raises `FormatError` if they might not fit, the array's own or all of them: there the
    activations are not known.
    """
    own = int(weights.counts.sum(axis=0, dtype=np.int64).max(initial=0))
    if own > MAX_TERMS:
        raise FormatError(
            f"{own:,} kept weights of a column in one product of a program: the accumulator holds "
            f"{MAX_TERMS:,} for certain; cut K into such parts, and carry their sums as RAW"
        )
    terms = before + own + MAX_TERMS * biased
    if terms > MOST_RAW_TERMS:
        raise FormatError(
            f"a sum of {terms:,} products might not fit into memory: {MOST_RAW_TERMS:,} do"
        )
    return terms
