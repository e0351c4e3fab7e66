"""One step of training against gradients worked out by hand, each term of them."""

import math

import numpy as np
import pytest

from heddle.sw.nn import trainer
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.optimisers import Sgd
from heddle.sw.nn.recipes import RECIPES
from heddle.sw.nn.trainer import Learning, Recipe

RATE, DECAY, PULL, MOMENTUM = 0.5, 0.01, 0.1, 0.75


def step(method: str, first_bias=(0.0, 0.0), speed: float = 0.0):
    """Two layers, 1:2, one sample [1, 1] of class 0; hidden [3, 2], scores [12, 12]."""
    rule = RECIPES[method](1, 2, PULL)
    first = Layer(np.array([[3.0, 1], [1, 2]]), np.array(first_bias), 1, 2, rule=rule)
    second = Layer(np.array([[4.0, 3], [1, 2]]), np.array([0.0, 3]), 1, 2, rule=rule)
    layers = [first, second]
    learning = [
        Learning(Sgd(MOMENTUM, np.full((2, 2), speed)), Sgd(MOMENTUM, np.full(2, speed)))
        for _ in layers
    ]
    x, y = np.array([[1.0, 1]]), np.array([0])
    loss = trainer._step(layers, learning, x, y, Recipe(decay=DECAY), RATE)
    return layers, [each.weights.speed for each in learning], loss


# Forward, 1:2 along the inputs: the first layer keeps 3 and 2, the second 4 and 3 (its first row).
# Both scores are 12, so the chances are one half and the gradient is [-1/2, 1/2].
SECOND = np.array([[3 * -0.5, 3 * 0.5], [2 * -0.5, 2 * 0.5]])
SECOND_DECAY = DECAY * np.array([[4, 3], [1, 2]])
SECOND_PULL = PULL * np.array([[0, 0], [1, 2]])
FIRST_DECAY = DECAY * np.array([[3, 1], [1, 2]])
FIRST_PULL = PULL * np.array([[0, 1], [1, 0]])
ONWARD = {
    # Backward, BDWP keeps of each row along the outputs: 4 of [4, 3] and 2 of [1, 2].
    "bdwp": [-0.5 * 4, 0.5 * 2],
    # SR-STE goes back the way it came: through [4, 3] and [0, 0].
    "sr-ste": [-0.5 * 4 + 0.5 * 3, 0],
}


@pytest.mark.parametrize("speed", [0.0, 2.0])
@pytest.mark.parametrize("method", ONWARD)
def test_a_step_by_hand(method, speed):
    (first, second), speeds, loss = step(method, speed=speed)
    assert loss == pytest.approx(math.log(2))
    held = MOMENTUM * speed
    moved = held + SECOND + SECOND_DECAY + SECOND_PULL
    assert speeds[1] == pytest.approx(moved)
    assert second.weights == pytest.approx(np.array([[4, 3], [1, 2]]) - RATE * moved)
    assert second.bias == pytest.approx(np.array([0, 3]) - RATE * (held + np.array([-0.5, 0.5])))
    onward = np.array(ONWARD[method])  # to both inputs, which are 1
    moved = held + np.array([onward, onward]) + FIRST_DECAY + FIRST_PULL
    assert speeds[0] == pytest.approx(moved)
    assert first.weights == pytest.approx(np.array([[3, 1], [1, 2]]) - RATE * moved)
    assert first.bias == pytest.approx(-RATE * (held + onward))


def test_nothing_comes_back_through_what_relu_cut():
    (first, second), *_ = step("bdwp", first_bias=(0.0, -5.0))  # hidden [3, 0]: the scores stay
    moved = np.array([[-1.5, 1.5], [0, 0]]) + SECOND_DECAY + SECOND_PULL
    assert second.weights == pytest.approx(np.array([[4, 3], [1, 2]]) - RATE * moved)
    moved = np.array([[-2, 0], [-2, 0]]) + FIRST_DECAY + FIRST_PULL
    assert first.weights == pytest.approx(np.array([[3, 1], [1, 2]]) - RATE * moved)
    assert first.bias == pytest.approx([1, -5])


def test_a_batch_is_averaged():
    layer = Layer(np.zeros((1, 2)), np.zeros(2), 2, 2)
    recipe = Recipe(n=2, m=2, method="dense", decay=0, momentum=0)
    x, y = np.array([[1.0], [2], [3], [6]]), np.array([0, 0, 1, 0])
    trainer._step([layer], [Learning.of(layer, recipe)], x, y, recipe, 1.0)
    # Chances one half: (-1 - 2 + 3 - 6) / 2 / 4 for the first class, the opposite for the second.
    assert layer.weights == pytest.approx(np.array([[0.75, -0.75]]))
    assert layer.bias == pytest.approx([0.25, -0.25])


def blobs() -> Dataset:
    """Three classes of 8 numbers that a line tells apart."""
    rng = np.random.default_rng(1)
    y = np.arange(120) % 3
    x = (np.eye(3)[y] @ rng.standard_normal((3, 8)) * 4 + rng.standard_normal((120, 8))).astype(
        "f4"
    )
    return Dataset("blobs", x[:90], y[:90], x[90:], y[90:])


@pytest.mark.parametrize("method, n", [("bdwp", 2), ("sr-ste", 2), ("dense", 8)])
def test_a_network_is_trained(method, n):
    """As wide as the recipe says, N:M but in the last layer, and right nearly always."""
    losses = []
    recipe = Recipe(
        n=2, m=8, method=method, hidden=(32, 16), epochs=40, batch=10, seed=3, rate=0.02
    )
    layers = trainer.train(blobs(), recipe, lambda epoch, loss: losses.append(loss))
    assert [layer.weights.shape for layer in layers] == [(8, 32), (32, 16), (16, 3)]
    assert [(layer.n, layer.m) for layer in layers] == [(n, 8), (n, 8), (8, 8)]
    assert len(losses) == 40 and losses[-1] < losses[0] / 4
    data, x = blobs(), blobs().test_x
    for layer in layers[:-1]:
        x = np.maximum(x @ layer.used() + layer.bias, 0)
    right = np.argmax(x @ layers[-1].used() + layers[-1].bias, axis=1) == data.test_y
    assert right.mean() > 0.9
