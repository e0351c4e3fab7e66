"""`heddle train` under torchrun: each process is a rank, with a device of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from ..host.device import Device
from ..host.open import is_board
from ..nn.on_device import OnDevice
from ..nn.trainer import Training

RANK, RANKS = "RANK", "WORLD_SIZE"
"""What torchrun tells each process by."""
PLACE = "{rank}"
"""In a device's name: the number of the rank that has it."""


@dataclass(frozen=True)
class Team:
    """A rank of so many; alone, it is the first of one."""

    rank: int = 0
    ranks: int = 1

    @property
    def leads(self) -> bool:
        """It is the one that says and writes what all have done."""
        return self.rank == 0

    def own(self, device: str) -> str:
        """The name of this rank's device. Raises `FormatError` for a board that all would take."""
        if self.ranks > 1 and is_board(device) and PLACE not in device:
            raise FormatError(
                f"{device} is one board for {self.ranks} ranks: write {PLACE} where their names "
                f"differ, as in /dev/ttyUSB{PLACE}"
            )
        return device.replace(PLACE, str(self.rank))

    def learn(self, training: Training, device: Device) -> None:
        """Let `device` do the training's steps, or this rank's part of them. Raises `FormatError`
        as `OnDevice` and `OnRank`."""
        if self.ranks == 1:
            OnDevice(training, device)
        else:
            from ..nn.in_torch import on_rank

            on_rank(training, device)

    def largest(self, number: int) -> int:
        """Of the numbers of all ranks."""
        if self.ranks == 1:
            return number
        from ..nn.in_torch import largest

        return int(largest(np.array([number]))[0])


@contextmanager
def team() -> Iterator[Team]:
    """As torchrun has started this process, or alone. Raises `FormatError` without PyTorch."""
    ranks = int(os.environ.get(RANKS, "1"))
    if ranks == 1:
        yield Team()
        return
    try:
        from torch import distributed  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise FormatError(
            f"{RANKS} is {ranks}: ranks need PyTorch, pip install 'heddle[torch]'"
        ) from None
    distributed.init_process_group("gloo")
    try:
        yield Team(int(os.environ[RANK]), ranks)
    finally:
        distributed.destroy_process_group()
