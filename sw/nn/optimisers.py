"""How a gradient changes what is trained: momentum SGD and Adam, one operation at a time in the
precision of the weights."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


class Optimiser:
    """Of one tensor, whose state it holds."""

    STATE: ClassVar[tuple[str, ...]] = ()
    """Attributes that a checkpoint keeps."""

    def update(self, values: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """Change `values` in place."""
        raise NotImplementedError


@dataclass
class Sgd(Optimiser):
    """``v = momentum * v + g``, ``w -= rate * v``."""

    momentum: float
    speed: np.ndarray

    STATE: ClassVar[tuple[str, ...]] = ("speed",)

    def update(self, values: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        self.speed *= self.momentum
        self.speed += gradient
        values -= np.float32(rate) * self.speed


@dataclass
class Adam(Optimiser):
    """Kingma and Ba, Adam, ICLR 2015; and STEP's second half, in which the mean of squares stays as
    it is (Lu et al., STEP, ICML 2023)."""

    mean: np.ndarray
    square: np.ndarray
    betas: tuple[float, float] = (0.9, 0.999)
    tiny: float = 1e-8
    step: int = 0
    frozen: bool = False
    changed: float = 0.0
    """How much the mean of squares has changed with the last step, on average."""

    STATE: ClassVar[tuple[str, ...]] = ("mean", "square", "step", "frozen", "changed")

    def update(self, values: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        first, second = self.betas
        self.step += 1
        self.mean += (1 - first) * (gradient - self.mean)
        tiny = self.tiny**0.75 if self.frozen else self.tiny
        if not self.frozen:
            change = (1 - second) * (gradient * gradient - self.square)
            self.square += change
            self.changed = float(np.abs(change).mean())
        square = self.square if self.frozen else self.square / (1 - second**self.step)
        root = np.sqrt(square) + np.float32(tiny)
        values -= np.float32(rate) * (self.mean / np.float32(1 - first**self.step)) / root
