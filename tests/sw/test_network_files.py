"""Networks in files: all of it comes back, and what is no network is refused."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.formats import FP16, INT8
from heddle.sw.compiler import packing
from heddle.sw.errors import FormatError
from heddle.sw.nn import container
from heddle.sw.nn.network import SHIPPED, Network, PackedLayer


def layer(rows, columns, **parts):
    rng = np.random.default_rng(rows)
    weights = packing.pack(rng.standard_normal((rows, columns)), FP16)
    return PackedLayer(**{"weights": weights, "bias": np.zeros(columns), "relu": True} | parts)


def network(**parts):
    layers = [layer(6, 4, scale=0.5), layer(4, 3, relu=False, bias=np.float32(1.5))]
    return Network(**{"layers": layers, "data": "digits"} | parts)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.safetensors"


def test_bias_scale_step_and_notes_come_back(path):
    network(step=np.float32(0.25), notes={"epochs": np.int64(3)}).save(path)
    back = Network.load(path)
    assert (back.data, back.step, back.notes) == ("digits", 0.25, {"epochs": 3})
    assert [layer.relu for layer in back.layers] == [True, False]
    assert [float(layer.scale) for layer in back.layers] == [0.5, 1.0]
    assert float(back.layers[1].bias) == 1.5 and back.layers[0].bias.tolist() == [0] * 4
    x = np.random.default_rng(1).standard_normal((5, 6))
    assert np.array_equal(back.float32(x), network(step=0.25).float32(x))


def test_a_one_stands_for_one_unless_told_otherwise(path):
    assert network().step == 1.0
    network().save(path)
    assert Network.load(path).step == 1.0


@pytest.mark.parametrize("format", SHIPPED, ids=lambda format: format.name)
def test_what_ships_is_saved_again_byte_for_byte(path, format):
    Network.load(SHIPPED[format]).save(path)
    assert path.read_bytes() == SHIPPED[format].read_bytes()


WRONG = {
    "no layer": ({"layers": []}, "a layer at least"),
    "layers that do not fit": ({"layers": [layer(6, 4), layer(5, 3)]}, "layer 1 takes 5 inputs"),
    "formats mixed": (
        {"layers": [layer(6, 4), layer(4, 3, weights=packing.pack(np.ones((4, 3)), INT8))]},
        "layer 1 has another format",
    ),
    "groups mixed": (
        {"layers": [layer(6, 4), layer(4, 3, weights=packing.pack(np.ones((4, 3)), group=16))]},
        "layer 1 has another format or group",
    ),
    "a format of no network": (
        {"layers": [layer(6, 4, weights=packing.pack(np.ones((6, 4)), "e4m3"))]},
        "no networks of 'e4m3'",
    ),
    "a bias too short": ({"layers": [layer(6, 4, bias=np.zeros(3))]}, "bias of layer 0"),
    "a bias of rank 2": ({"layers": [layer(6, 4, bias=np.zeros((1, 4)))]}, "bias of layer 0"),
    "a bias that is no number": ({"layers": [layer(6, 4, bias=np.full(4, np.nan))]}, "one finite"),
    "a bias of truths": ({"layers": [layer(6, 4, bias=np.ones(4, bool))]}, "bias of layer 0"),
    "an infinite scale": ({"layers": [layer(6, 4, scale=np.inf)]}, "scale of layer 0"),
    "a scale below zero": ({"layers": [layer(6, 4, scale=-np.ones(4))]}, "scale of layer 0 is neg"),
}


@pytest.mark.parametrize(("parts", "words"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_network_is_neither_saved_nor_loaded(path, parts, words):
    wrong = network(**parts)
    with pytest.raises(FormatError, match=words):
        wrong.save(path)
    assert not path.exists()
    arrays = {}
    for i, one in enumerate(wrong.layers):
        arrays |= {f"layer{i}.bias": one.bias, f"layer{i}.scale": np.asarray(one.scale)}
    matrices = {f"layer{i}": one.weights for i, one in enumerate(wrong.layers)}
    notes = {"data": "digits", "relu": [one.relu for one in wrong.layers]}
    container.save(path, matrices, arrays, notes)
    with pytest.raises(FormatError, match=words if wrong.layers else "but no network"):
        Network.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("relu", [1, 0]), ("relu", ["True", "False"]), ("step", True), ("step", -1), ("data", 3),
     ("step", float("inf"))],
)  # fmt: skip
def test_notes_of_the_wrong_type_are_refused(path, name, value):
    network().save(path)
    matrices, arrays, notes = container.load(path)
    container.save(path, matrices, arrays, notes | {name: value})
    with pytest.raises(FormatError, match=f"no network \\('{name}' of its notes"):
        Network.load(path)


def test_notes_do_not_take_the_place_of_what_a_network_is(path):
    for name in ("data", "relu", "step"):
        with pytest.raises(FormatError, match=f"cannot be called {name}"):
            replace(network(), notes={name: "mine"}).save(path)
    assert not path.exists()
