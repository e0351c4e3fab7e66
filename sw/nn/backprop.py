"""Forward through the layers of a network, and back."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from . import stages
from .layers import Layer
from .recipes import Pruned

Rows = TypeVar("Rows")


@dataclass
class Passed(Generic[Rows]):
    """What a forward pass leaves for the way back."""

    values: list[np.ndarray]
    """The images of the input, and those that each layer makes."""
    taken: list[Rows]
    """The rows of images that each layer multiplies, as its arithmetic has them."""
    full: list[np.ndarray]
    """What each layer pools."""


def forward(layers: list[Layer], pruned: list[Pruned], x: np.ndarray) -> Passed[np.ndarray]:
    """Images [B, pixels] through the layers, each with the weights that it has now."""
    passed = Passed([x], [], [])
    for i, (layer, used) in enumerate(zip(layers, pruned, strict=True)):
        stage = layer.stage
        images = passed.values[-1].reshape(len(x), stage.height, stage.width, -1)
        passed.taken.append(stages.rows(images, stage.kernel))
        out = passed.taken[-1] @ used.forward + layer.bias
        out = out.reshape(len(x), *stage.out, -1)
        if stage.add is not None:
            out += passed.values[stage.add + 1]
        passed.full.append(np.maximum(out, 0) if i < len(layers) - 1 else out)
        passed.values.append(stages.pooled(passed.full[-1], stage.pool))
    return passed


def cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss of a batch, and what it changes by with the scores."""
    scores = scores - scores.max(axis=1, keepdims=True)
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(chance[np.arange(len(y)), y] + 1e-12).mean()
    chance[np.arange(len(y)), y] -= 1
    return float(loss), chance / len(y)


def backward(
    layers: list[Layer],
    pruned: list[Pruned],
    passed: Passed[np.ndarray],
    gradient: np.ndarray,
    first: int = 0,
) -> list[np.ndarray]:
    """The gradient of each layer's sums, rows of pixels; of those before the `first` one that is
    trained there is none."""
    count = len(gradient)
    onward: list = [*[0.0] * len(layers), gradient]
    """Of each layer's images: of those that are added to another layer's, a sum."""
    made: list[np.ndarray] = [np.empty(0)] * len(layers)
    for i in reversed(range(first, len(layers))):
        stage, rule = layers[i].stage, layers[i].rule
        out = onward[i + 1].reshape(passed.values[i + 1].shape)
        gradient = stages.unpooled(out, passed.full[i], stage.pool)
        if i < len(layers) - 1:
            gradient = gradient * (passed.full[i] > 0)
        if stage.add is not None:
            onward[stage.add + 1] = onward[stage.add + 1] + gradient
        made[i] = gradient.reshape(-1, gradient.shape[-1])
        if i > first:
            images = passed.values[i].reshape(count, stage.height, stage.width, -1)
            errors = rule.errors(made[i].reshape(count, -1, made[i].shape[1]))
            taps = errors.reshape(made[i].shape) @ pruned[i].backward.T
            onward[i] = onward[i] + stages.images_of(taps, stage.kernel, images.shape)
    return made
