"""Data-parallel training: each rank has a device and a part of every batch, and all end with the
same bits, however many they are.

The gradients of a part are exact sums, so theirs are those of the whole batch, whoever adds them
and in which order; they are rounded once, and each device changes its masters by them.
"""

from collections.abc import Callable
from threading import Barrier

import numpy as np

from ...hw.formats import RAW_BITS, OutputFormat
from ...sim.golden import epilogue, side
from ..compiler.tensors import LIMB_BITS
from ..errors import FormatError
from ..host.device import Device
from . import loss_scale
from .on_device import OnDevice
from .trainer import Training

Add = Callable[[np.ndarray], np.ndarray]
"""Of int64 [...] of each rank the sum of all, on each: limbs of exact sums among them, of 32 bits,
so of 2**31 ranks at most."""


class Threads:
    """Adds what so many ranks bring that are threads of this process; none waits for another one
    longer than `timeout` seconds, if that is given."""

    def __init__(self, count: int, timeout: float | None = None):
        self._together = Barrier(count, timeout=timeout)
        self._brought: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> np.ndarray:
        """The sum of all; each rank calls it as often as the others. Raises `BrokenBarrierError`
        once one has given up or is too late."""
        self._brought.append(values)
        self._together.wait()
        total = np.sum(self._brought, axis=0)
        if self._together.wait() == 0:
            self._brought = []
        self._together.wait()
        return total

    def give_up(self) -> None:
        """Have no rank wait for this one."""
        self._together.abort()


class OnRank(OnDevice):
    """Does one rank's part of the steps of `training` on `device`. `add` brings the ranks together:
    each must have begun the same training.

    Raises `FormatError` as `OnDevice`, and if a batch is not to be divided evenly.
    """

    def __init__(self, training: Training, device: Device, rank: int, ranks: int, add: Add):
        batch = training.recipe.batch
        if batch % ranks:
            raise FormatError(f"a batch of {batch} cannot be divided evenly by {ranks} ranks")
        super().__init__(training, device)
        self._mine = slice(rank * batch // ranks, (rank + 1) * batch // ranks)
        self._add, self._whole = add, batch

    def learn(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """As of `OnDevice`, on this rank's part of the batch. Each rank returns the same loss."""
        training, device, mine = self.training, self.device, self._mine
        made, losses, finite = self._run(x[mine], y[mine], rate)
        gradients = made.gradients(device)
        # Losses are the ranks' own, and go along as bits.
        all_losses = np.zeros(len(x), np.int64)
        all_losses[mine] = losses.view(np.uint32)
        parts = [_limbs(each) for each in gradients]
        sent = np.concatenate([[int(not finite)], all_losses, *(part.ravel() for part in parts)])
        overflown, *_ = total = self._add(sent)
        all_losses, total = total[1 : len(x) + 1], total[len(x) + 1 :]
        exponent = device.config.format.product_unit_log2 - int(np.log2(training.scale))
        rounded, good = [], overflown == 0
        for part, each in zip(parts, gradients, strict=True):
            sums, total = total[: part.size].reshape(part.shape), total[part.size :]
            done = epilogue.finish(_integers(sums), 0, 1, exponent, False, OutputFormat.FP32)
            rounded.append(done.raw.reshape(each.shape).view("<f4"))
            good &= not done.overflow
        loss_scale.counted(training, good)
        if not good:
            return float("nan")
        self.cycles += made.apply(device, rounded)["running"]
        return float(all_losses.astype(np.uint32).view(np.float32).mean())


def _limbs(sums: np.ndarray) -> np.ndarray:
    """Exact sums [rows, columns] as limbs, int64 [limbs, rows, columns], the lowest first."""
    return side.limbs(sums).astype(np.int64)


def _integers(limbs: np.ndarray) -> np.ndarray:
    """The exact sums again, of limbs that were added: each may be more than `LIMB_BITS`."""
    whole = sum(limb << LIMB_BITS * n for n, limb in enumerate(limbs.astype(object)))
    whole %= 1 << RAW_BITS
    return whole - (whole >> RAW_BITS - 1 << RAW_BITS)
