"""Transposable masks, which serve forward and backward: Hubara et al., Accelerated Sparse Neural
Training: A Provable and Efficient Method to Find N:M Transposable Masks, NeurIPS 2021."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import ClassVar

import numpy as np

from .rule import Moment, Pruned, Rule


@cache
def patterns() -> np.ndarray:
    """The 90 masks of 4 x 4 with two of each row and of each column, bool [90, 4, 4]."""
    lines = [np.isin(np.arange(4), chosen) for chosen in combinations(range(4), 2)]
    blocks = np.array([np.array(rows) for rows in product(lines, repeat=4)])
    return blocks[(blocks.sum(axis=1) == 2).all(axis=1)]


def best_2_of_4(blocks: np.ndarray) -> np.ndarray:
    """The mask that keeps the most of each block of magnitudes [..., 4, 4]: the best of all 90."""
    known = patterns()
    kept = np.einsum("...ij,pij->...p", blocks, known.astype(blocks.dtype))
    return known[np.argmax(kept, axis=-1)]


def exchanged(blocks: np.ndarray, n: int) -> np.ndarray:
    """A mask with N of each row and column of blocks [count, M, M] of magnitudes: N diagonals, of
    which two kept elements change their columns, those that gain the most first, until no two gain
    anything."""
    count, m, _ = blocks.shape
    shifts = (np.arange(m)[None, :] - np.arange(m)[:, None]) % m
    mask = np.repeat((shifts < n)[None], count, axis=0)
    left = np.arange(count)
    while len(left):
        gains = _gains(blocks[left], mask[left])
        best = gains.reshape(len(left), -1).argmax(axis=1)
        won = gains.reshape(len(left), -1)[np.arange(len(left)), best] > 0
        left, (row, column, other, its) = left[won], np.unravel_index(best[won], gains.shape[1:])
        mask[left, row, column] = mask[left, other, its] = False
        mask[left, row, its] = mask[left, other, column] = True
    return mask


def _gains(blocks: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What is gained [count, row, column, other row, its column] if two kept elements change their
    columns; nothing where they cannot."""
    given = np.where(mask, blocks, np.inf)
    taken = np.where(mask, -np.inf, blocks)
    gains = taken[:, :, None, None, :] + taken.swapaxes(1, 2)[:, None, :, :, None]
    gains = gains - given[:, :, :, None, None]
    return gains - given[:, None, None, :, :]


@dataclass
class Transposable(Rule):
    """One mask with N of each M along K and along C, found again every so many steps; gradients go
    straight through, as with SR-STE."""

    every: int = 40

    SPARSE: ClassVar[tuple[str, ...]] = ("FF", "BP")
    STATE: ClassVar[tuple[str, ...]] = ("mask",)
    SOURCE: ClassVar[str] = "Hubara et al., NeurIPS 2021"

    def __post_init__(self):
        self.mask: np.ndarray | None = None

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        if self.mask is None or moment.step % self.every == 0 and moment.step < moment.steps:
            self.mask = self.both(weights)
        kept = weights * self.mask
        return Pruned(kept, kept, self.mask)

    def both(self, weights: np.ndarray) -> np.ndarray:
        """The mask of weights [K, C], which need not be whole blocks."""
        m, (rows, columns) = self.m, weights.shape
        sizes = np.pad(np.abs(weights), ((0, -rows % m), (0, -columns % m)))
        down, across = sizes.shape[0] // m, sizes.shape[1] // m
        blocks = sizes.reshape(down, m, across, m).swapaxes(1, 2).reshape(-1, m, m)
        best = best_2_of_4(blocks) if (self.n, m) == (2, 4) else exchanged(blocks, self.n)
        whole = best.reshape(down, across, m, m).swapaxes(1, 2).reshape(sizes.shape)
        return whole[:rows, :columns]
