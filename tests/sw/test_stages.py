"""Stages of layers: rows of images and pooling against loops over pixels, and gradients against
differences."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.formats import FP16
from heddle.sw.compiler.packing import to_dense
from heddle.sw.compiler.walks import Kernel, as_matrix
from heddle.sw.errors import FormatError
from heddle.sw.nn import stages, trainer
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.network import Network, from_trained
from heddle.sw.nn.stages import Stage
from heddle.sw.nn.trainer import Learning, Recipe

KERNELS = [
    Kernel((1, 1)),
    Kernel((3, 3), padding=(1, 1)),
    Kernel((3, 2), (2, 1), (0, 1)),
    Kernel((2, 3), (1, 2), (2, 0), dilation=(2, 1)),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_rows_of_images(kernel):
    """Tap after tap, line by line; zeros outside."""
    rng = np.random.default_rng(1)
    images = rng.integers(1, 99, (2, 5, 6, 3))
    stage = Stage(5, 6, kernel)
    got = stages.rows(images, kernel).reshape(2, *stage.out, -1)
    for image, line, column in np.ndindex(got.shape[:3]):
        expected = []
        for tap_y, tap_x in np.ndindex(kernel.size):
            y = line * kernel.stride[0] - kernel.padding[0] + tap_y * kernel.dilation[0]
            x = column * kernel.stride[1] - kernel.padding[1] + tap_x * kernel.dilation[1]
            inside = 0 <= y < 5 and 0 <= x < 6
            expected += images[image, y, x].tolist() if inside else [0, 0, 0]
        assert got[image, line, column].tolist() == expected


def test_pooling_by_hand():
    images = np.array([[[1, 5, 2, 2], [3, 4, 2, 0]]]).reshape(1, 2, 4, 1)
    assert stages.pooled(images, 2).ravel().tolist() == [5, 2]
    # To the first of the largest, line by line.
    back = stages.unpooled(np.array([7, 8]).reshape(1, 1, 2, 1), images, 2)
    assert back.reshape(2, 4).tolist() == [[0, 7, 8, 0], [0, 0, 0, 0]]
    assert stages.pooled(images, 1) is images


def small_network(rng) -> list[Layer]:
    """Three convolutions, a sum, pooling, two layers of vectors; dense, in double precision."""
    layers = trainer._initial(
        Dataset("none", np.zeros((1, 64)), np.arange(3), np.zeros((0, 64)), np.zeros(0)),
        Recipe(architecture="cnn", channels=(8, 8, 8), method="dense"),
        rng,
    )
    return [
        replace(
            layer,
            weights=layer.weights.astype(float),
            bias=rng.standard_normal(len(layer.bias)) * 0.1,
        )
        for layer in layers
    ]


def test_every_gradient_is_that_of_differences():
    rng = np.random.default_rng(3)
    layers = small_network(rng)
    x, y = rng.random((4, 64)), np.array([0, 2, 1, 2])
    recipe = Recipe(architecture="cnn", method="dense", decay=0, pull=0, momentum=0)

    def loss(moved=None, at=None, by=0.0) -> float:
        copies = [replace(layer, weights=layer.weights.copy()) for layer in layers]
        if moved is not None:
            copies[moved].weights[at] += by
        return trainer._step(copies, still(copies), x, y, recipe, 0.0)

    def still(of) -> list[Learning]:
        return [Learning.of(layer, recipe) for layer in of]

    learning = still(layers)
    trainer._step([replace(layer) for layer in layers], learning, x, y, recipe, 0.0)
    for number, gradient in enumerate(each.weights.speed for each in learning):
        for _ in range(6):
            at = tuple(rng.integers(size) for size in gradient.shape)
            slope = (loss(number, at, 1e-6) - loss(number, at, -1e-6)) / 2e-6
            assert gradient[at] == pytest.approx(slope, rel=1e-4, abs=1e-8), (number, at)


def test_a_packed_network_of_convolutions(tmp_path):
    """It is what was trained, and what was saved."""
    rng = np.random.default_rng(4)
    layers = small_network(rng)
    network = from_trained(layers, "digits")
    assert not network.plain and network.format is FP16
    # The only channel of the first layer is the first of eight.
    first = to_dense(network.layers[0].weights).reshape(9, 8, 8)
    assert np.array_equal(first[:, 0], np.float16(layers[0].weights)) and not first[:, 1:].any()
    assert network.layers[0].weights.counts.max() == 1
    network.save(tmp_path / "made.safetensors")
    assert Network.load(tmp_path / "made.safetensors") == network
    x = rng.random((3, 64)).astype(np.float32)
    value = [x]
    for layer in layers:
        stage, w = layer.stage, np.float16(layer.weights).astype(np.float32)
        images = value[-1].reshape(3, stage.height, stage.width, -1)
        out = (stages.rows(images, stage.kernel) @ w + layer.bias).reshape(3, *stage.out, -1)
        out = out + value[2] if stage.add is not None else out
        value.append(stages.pooled(np.maximum(out, 0), stage.pool))
    last = out.reshape(3, -1)
    assert network.float32(x) == pytest.approx(last, rel=1e-5)
    with pytest.raises(FormatError, match="as a program"):
        network.run(x, lambda *_: None)


@pytest.mark.parametrize(
    "wrong, text",
    [
        ({"height": 5}, "5 x 8 pixels, and is given 8 x 8"),
        ({"add": 0}, "cannot add the result of layer 0"),
        ({"add": 7}, "cannot add the result of layer 7"),
        ({"kernel": Kernel((1, 3), padding=(0, 1))}, "takes 72 inputs, but there are 24"),
    ],
)
def test_stages_that_do_not_fit(tmp_path, wrong, text):
    network = from_trained(small_network(np.random.default_rng(4)), "digits")
    layer = network.layers[1]
    network.layers[1] = replace(layer, stage=replace(layer.stage, **wrong))
    with pytest.raises(FormatError, match=text):
        network.save(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize(
    "wrong", [None, 3, {}, {"kernel": 3}, {"kernel": {"size": [0, 1]}}, {"kernel": {}, "x": 1}]
)
def test_no_stage(wrong):
    with pytest.raises(FormatError):
        Stage.from_notes(wrong)
    with pytest.raises(FormatError, match="5 x 4 pixels cannot be pooled by 2"):
        Stage(5, 4, pool=2)
    with pytest.raises(FormatError, match="smaller than a kernel of 3 x 3"):
        Stage(2, 8, Kernel((3, 3)))
    made = Stage(8, 8, KERNELS[3], add=1)
    assert Stage.from_notes(made.to_notes()) == made


def test_grouped_weights():
    """Channels of one group have zeros for those of the others."""
    w = np.arange(1, 1 + 2 * 1 * 2 * 4).reshape(2, 1, 2, 4)  # two taps, two channels, four outputs
    full = as_matrix(w, groups=2, group=8).reshape(2, 8, 4)
    assert full[0, :4].tolist() == [[1, 2, 0, 0], [5, 6, 0, 0], [0, 0, 3, 4], [0, 0, 7, 8]]
    assert not full[:, 4:].any() and full[1, 3].tolist() == [0, 0, 15, 16]
    with pytest.raises(FormatError, match="4 channels cannot be divided into 3 groups"):
        as_matrix(w, groups=3)
