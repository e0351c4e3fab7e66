"""Numbers made to fit a format, and a network made INT8: every step by hand."""

import numpy as np
import pytest

import heddle
from heddle.hw.config import Config, preset
from heddle.hw.formats import INT8
from heddle.sim.golden.device import ModelTransport
from heddle.sw.errors import FormatError, PrecisionWarning
from heddle.sw.host.device import Device
from heddle.sw.nn import data, trainer
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.network import golden
from heddle.sw.nn.quantise import quantise_network

W = np.array([[127.0, -254, 0], [1, 4, 0]])


def test_steps_by_hand():
    elements, steps = heddle.quantise(W, axis=0)
    assert elements.dtype == np.int8 and elements.tolist() == [[127, -127, 0], [1, 2, 0]]
    assert steps.tolist() == [1, 2, 1]
    elements, steps = heddle.quantise(W)  # by 2: 63.5 and 0.5 are ties
    assert elements.tolist() == [[64, -127, 0], [0, 2, 0]] and steps == 2
    elements, steps = heddle.quantise(W, axis=1)
    assert elements.tolist() == [[64, -127, 0], [32, 127, 0]] and steps.tolist() == [2, 4 / 127]
    elements, steps = heddle.quantise(896 * W / 254, "e4m3")
    assert steps == 2 and elements[0].tolist() == [224, -448, 0]
    assert heddle.quantise(np.full((1, 1), 5e-324))[0].tolist() == [[0]]


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (np.array([[np.nan]]), {}, "infinity or NaN"),
        (np.array([[np.inf]]), {"axis": 0}, "infinity or NaN"),
        (W, {"axis": 2}, "no axis 2"),
        (W, {"format": "int5"}, "no format"),
    ],
)
def test_what_cannot_be_quantised(values, options, words):
    with pytest.raises(FormatError, match=words):
        heddle.quantise(values, **options)


@pytest.mark.parametrize("scale", ["row", -1.0, 0.0, np.nan, [1.0, 2.0], np.ones((3, 1))])
def test_scales_that_are_none(scale):
    with pytest.raises(FormatError, match="scale"):
        heddle.pack(W, "int8", scale=scale)


@pytest.mark.parametrize("preset_name", ["tiny", "small"])
def test_a_product_by_scaled_weights(preset_name):
    """x = [3, 5]: 3·127 + 5 = 386, 3·-254 + 5·4 = -742, 0; bias and scale as without steps."""
    format = preset(preset_name).format
    packed = heddle.pack(W, format, scale=[1, 2, 0.5])
    assert heddle.to_dense(packed).tolist() == W.tolist()
    assert packed.groups(0, 1) == packed
    with Device(ModelTransport(preset(preset_name))) as device:
        plain, _ = device.matmul([[3, 5]], packed)
        assert plain.tolist() == [[386, -742, 0]]
        y, _ = device.matmul([[3, 5]], packed, bias=[-6, 42, 8], scale=[0.5, 2, 4])
        assert y.tolist() == [[190, -1400, 32]]


def test_a_scale_survives_a_file(tmp_path):
    packed = heddle.pack(np.arange(16.0).reshape(8, 2) / 7, "int8", scale="column")
    heddle.save(tmp_path / "w.safetensors", {"w": packed})
    assert heddle.load(tmp_path / "w.safetensors")[0]["w"] == packed


def test_weights_that_vanish_are_told():
    w = np.full((100, 1), 1e-4)
    with pytest.warns(PrecisionWarning, match="100 of 100 weights .* become zero in e4m3"):
        heddle.pack(w, "e4m3")
    w[1:] = 1
    heddle.pack(w, "e4m3")  # one in a hundred: no word
    assert np.allclose(heddle.to_dense(heddle.pack(w * 1e-6, "e4m3", scale="column")), w * 1e-6)


def test_a_network_by_hand():
    """Steps, integers, bias units and scales of two layers, worked out on paper."""
    x = np.array([[1.27, 0.5], [0.3, 1.0]])
    digits = Dataset("digits", x, np.array([0, 0]), x, np.array([0, 0]))
    first = Layer(np.array([[1.27, -2.54], [0.5, 1.0]]), np.array([0.1, -0.2]), 8, 8)
    second = Layer(np.array([[12.7], [-5.0]]), np.array([0.3]), 8, 8)
    network = quantise_network([first, second], digits, {"epochs": 3})
    assert network.notes == {"epochs": 3}
    # 1.27 is the largest input; 1.27·1.27 + 0.5·0.5 + 0.1 = 1.9629 the largest hidden value.
    assert network.step == pytest.approx(0.01)
    one, two = network.layers
    assert one.weights.unpack().view(np.int8).tolist() == [[127, -127], [50, 50]]
    assert one.bias.tolist() == [1000, -1000]  # in units of 0.01 · 0.01 and 0.01 · 0.02
    assert one.scale == pytest.approx([1e-4 * 127 / 1.9629, 2e-4 * 127 / 1.9629])
    assert two.weights.unpack().view(np.int8).tolist() == [[127], [-50]]
    assert two.bias.tolist() == [194]  # 0.3 / (1.9629 / 127 · 0.1) = 194.1
    assert two.scale == pytest.approx([1.9629 / 127 * 0.1])
    assert (one.relu, two.relu) == (True, False)
    # Elements [127, 50]: (127·127 + 50·50 + 1000) · 0.00647 = 126.998, and -10879 · … below zero;
    # then (127·127 + 194) · 0.0015456 = 25.2288, where 1.9629·12.7 + 0.3 = 25.229 is meant; the
    # scale has 16 bits.
    exact = golden(Config("golden", 2, 2, INT8))
    hidden, scores = network.run(x[:1], exact)
    assert hidden.dtype == np.int8 and hidden.tolist() == [[127, 0]]
    assert scores.dtype == np.float32 and scores[0, 0] == pytest.approx(25.2288, rel=2**-15)


def test_int8_stays_close_to_its_float():
    digits = data.load()
    layers = trainer.train(digits, trainer.Recipe(hidden=(32,), epochs=4))
    # Large biases, so that a wrong unit shows.
    layers = [Layer(layer.weights, layer.bias + 1, layer.n, layer.m) for layer in layers]
    value = x = digits.test_x
    for i, layer in enumerate(layers):
        value = value @ layer.used() + layer.bias
        value = np.maximum(value, 0) if i < len(layers) - 1 else value
    network = quantise_network(layers, digits)
    scores = network.run(x, golden(Config("golden", 2, 2, INT8)))[-1]
    assert np.abs(scores - value).max() < 0.03 * np.abs(value).max()
    assert np.mean(scores.argmax(1) == value.argmax(1)) > 0.97
