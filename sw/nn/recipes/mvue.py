"""Sparse weight gradients: N of each M rows of the output's gradient, drawn so that the mean is
right. Chmiel et al., Minimum Variance Unbiased N:M Sparsity for the Neural Gradients, ICLR 2023."""

import numpy as np

from .rule import Moment, Rule


def probabilities(groups: np.ndarray, n: int) -> np.ndarray:
    """Of keeping each of the M elements in the last axis: ``min(1, c |x|)`` with c so that N are
    kept, which has the least variance; 1 for all that are not zero if these are no more than N."""
    sizes = np.abs(groups).astype(np.float64)
    sure = np.zeros(sizes.shape, bool)
    chance = np.zeros(sizes.shape)
    for _ in range(n + 1):
        left = n - sure.sum(axis=-1, keepdims=True)
        rest = np.where(sure, 0, sizes)
        total = rest.sum(axis=-1, keepdims=True)
        chance = np.where(sure, 1, left * rest / np.where(total > 0, total, 1))
        more = chance > 1
        if not more.any():
            break
        sure |= more
    return np.minimum(chance, 1)


def drawn(groups: np.ndarray, n: int, uniform: np.ndarray) -> np.ndarray:
    """`groups` [..., M] of which about N are kept and divided by their probability, the others 0.

    Systematic sampling with one number of [0, 1) a group: an element is kept if a whole number plus
    that one lies between the sums of the probabilities before and with it.
    """
    chance = probabilities(groups, n)
    after = np.cumsum(chance, axis=-1)
    # The sum of all is a whole number, or what rounding made of it.
    whole = np.rint(after)
    after = np.where(np.abs(after - whole) < 1e-9, whole, after)
    before = np.concatenate([np.zeros((*after.shape[:-1], 1)), after[..., :-1]], axis=-1)
    shift = uniform[..., None]
    kept = np.ceil(after - shift) - np.ceil(before - shift) > 0
    return np.where(kept, groups / np.where(chance > 0, chance, 1), 0).astype(groups.dtype)


class Mvue(Rule):
    """Weights are dense, and the weights' gradient is made of N of each M rows."""

    SPARSE = ("WU",)
    SOURCE = "Chmiel et al., ICLR 2023"

    def samples(self, dy: np.ndarray, moment: Moment) -> np.ndarray:
        rows, columns = dy.shape
        padded = np.pad(dy, ((0, -rows % self.m), (0, 0)))
        groups = padded.reshape(-1, self.m, columns).swapaxes(1, 2)
        seed, layer = self.key
        generator = np.random.Generator(np.random.Philox(key=[seed, layer << 32 | moment.step]))
        made = drawn(groups, self.n, generator.random(groups.shape[:2]))
        return made.swapaxes(1, 2).reshape(padded.shape)[:rows]
