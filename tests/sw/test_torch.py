"""PyTorch's layers on a device: the same numbers as PyTorch's own of what the device multiplies,
forward and backward; a loop that trains; what is refused."""

import sys

import numpy as np
import pytest

import heddle
from heddle.hw.config import preset
from heddle.sim.golden.device import ModelTransport
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device


def test_without_it(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("heddle.torch", "heddle.sw.nn.in_torch"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ImportError, match=r"pip install 'heddle\[torch\]'"):
        import heddle.torch  # noqa: F401


torch = pytest.importorskip("torch")
import heddle.torch  # noqa: E402

nn = torch.nn


@pytest.fixture
def device():
    config = preset("small")
    with Device(ModelTransport(config), config.name) as device:
        yield device


def fixed(*shape: int, seed: int = 0):
    """Numbers that float16 holds, of which all sums below are exact in float32."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.integers(-32, 33, shape) / 16).astype("f4"))


def like(layer, count: int, *shape: int):
    """A layer with such numbers, and an input and an output's gradient."""
    with torch.no_grad():
        layer.weight.copy_(fixed(*layer.weight.shape, seed=1))
        if layer.bias is not None:
            layer.bias.copy_(fixed(*layer.bias.shape, seed=2))
    x = fixed(count, *shape, seed=3).requires_grad_()
    return x, fixed(*layer(x).shape, seed=4)


LINEAR = [lambda: nn.Linear(16, 8), lambda: nn.Linear(12, 5, bias=False)]
CONVOLUTIONS = [
    lambda: nn.Conv2d(8, 16, 3, padding=1),
    lambda: nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0), dilation=(1, 2)),
    lambda: nn.Conv2d(16, 16, 3, 2, 1, groups=2, bias=False),
]


@pytest.mark.parametrize("make", LINEAR + CONVOLUTIONS)
def test_dense_layers_are_pytorchs(device, make):
    """Outputs, and gradients of inputs, weights and biases, in every bit."""
    layer = make()
    shape = (layer.in_features,) if isinstance(layer, nn.Linear) else (layer.in_channels, 6, 5)
    x, dy = like(layer, 3, *shape)
    wanted = layer(x)
    wanted.backward(dy)
    expected = [wanted, x.grad, layer.weight.grad]
    expected += [] if layer.bias is None else [layer.bias.grad]
    x.grad = None
    layer.zero_grad()
    heddle.torch.wrap(model := nn.Sequential(layer), device, "dense")
    got = model(x)
    got.backward(dy)
    found = [got, x.grad, layer.weight.grad] + ([] if layer.bias is None else [layer.bias.grad])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    counted = heddle.torch.cycles(model)["0"]
    assert all(counted[stage] > 0 for stage in ("FF", "BP", "WU"))
    assert type(heddle.torch.unwrap(model)[0]) in (nn.Linear, nn.Conv2d)


def test_pruned_both_ways(device):
    """Forward the 2 largest of 8 inputs of each output, backward those of 8 outputs of each input;
    the gradient goes straight through."""
    layer = nn.Linear(16, 24, bias=False)
    x, dy = like(layer, 5, 16)
    weights = layer.weight.detach().numpy().T.copy()
    heddle.torch.wrap(nn.Sequential(layer), device, "bdwp", (2, 8))
    y = layer(x)
    y.backward(dy)
    forward, backward = (heddle.prune(weights, 2, 8, axis=axis) for axis in (0, 1))
    assert np.array_equal(y.detach().numpy(), x.detach().numpy() @ forward)
    assert np.array_equal(x.grad.numpy(), dy.numpy() @ backward.T)
    assert np.array_equal(layer.weight.grad.numpy().T, x.detach().numpy().T @ dy.numpy())


def test_masks_of_each_group(device):
    """A recipe remembers the masks of each group of a convolution; from the first step on they are
    those of the first weights, and nothing else has a gradient."""
    layer = nn.Conv2d(16, 16, 1, groups=2, bias=False)
    x, dy = like(layer, 2, 16, 2, 2)
    matrices = [layer.weight.detach()[8 * n :][:8, :, 0, 0].numpy().T for n in range(2)]
    masks = [heddle.mask(matrix, 2, 8, axis=0) for matrix in matrices]
    heddle.torch.wrap(nn.Sequential(layer), device, "static", (2, 8))
    layer(x).backward(dy)
    with torch.no_grad():
        layer.weight += 1 - 2 * fixed(*layer.weight.shape, seed=9)
    layer.weight.grad = None
    layer(x).backward(dy)
    for n, mask in enumerate(masks):
        found = layer.weight.grad[8 * n :][:8, :, 0, 0].numpy().T
        assert not found[~mask].any() and found[mask].all()


def test_small_and_large_numbers(device):
    """Neither is lost on the way: each tensor is scaled by a power of two."""
    layer = nn.Linear(8, 8, bias=False)
    x, dy = like(layer, 4, 8)
    wanted = (x @ layer.weight.t(), dy @ layer.weight, dy.t() @ x)
    heddle.torch.wrap(nn.Sequential(layer), device, "dense")
    large = (x.detach() * 2.0**40).requires_grad_()
    y = layer(large)
    y.backward(dy * 2.0**-30)
    assert torch.equal(y, wanted[0] * 2.0**40)
    assert torch.equal(large.grad, wanted[1] * 2.0**-30)
    assert torch.equal(layer.weight.grad, wanted[2] * 2.0**10)


def test_what_is_not_finite_stays_so(device):
    """A GradScaler finds it."""
    layer = nn.Linear(8, 8)
    heddle.torch.wrap(nn.Sequential(layer), device, "dense")
    x = torch.full((2, 8), float("inf"))
    assert torch.isnan(layer(x)).all()


def test_a_loop_that_trains(device):
    """A user's own optimiser; the loss falls, parameters keep their names, and a state is loaded by
    a model that knows nothing of it."""
    rng = np.random.default_rng(5)
    points = rng.random((4, 1, 4, 4)).astype("f4")
    labels = torch.from_numpy(rng.integers(4, size=24))
    images = torch.from_numpy(points[labels] + rng.normal(0, 0.05, (24, 1, 4, 4)).astype("f4"))

    def made():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 8), nn.ReLU()
        ).append(nn.Linear(8, 4))

    model = heddle.torch.wrap(made(), device, "bdwp", (2, 8), dense=["5"])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(16):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    made().load_state_dict(model.state_dict())
    kinds = {
        name: type(layer.on_device.rules[0]).__name__
        for name, layer in model.named_modules()
        if hasattr(layer, "on_device")
    }
    assert kinds == {"0": "Dense", "3": "Bdwp", "5": "Dense"}


def test_what_is_refused(device):
    model = nn.Sequential(nn.Linear(8, 8))
    for more, words in (
        ({"recipe": "magic"}, "no recipe 'magic'; there are bdwp, kept"),
        ({"recipe": "kept"}, "'kept' changes while it trains: say how many steps"),
        ({"dense": ["head"]}, r"the model has no layer head; it has \['0'\]"),
    ):
        with pytest.raises(FormatError, match=words):
            heddle.torch.wrap(model, device, **more)
    for layer, words in (
        (nn.Conv2d(8, 8, 3, padding="same"), "padding 'same' of 'zeros'"),
        (
            nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
            "of 'reflect': it must be of zeros",
        ),
        (nn.Linear(8, 8).double(), "weights of torch.float64 on cpu"),
        (nn.ReLU(), "no Linear and no Conv2d"),
    ):
        with pytest.raises(FormatError, match=words):
            heddle.torch.wrap(nn.Sequential(layer), device)
    tiny = preset("tiny")
    with Device(ModelTransport(tiny), tiny.name) as other:
        with pytest.raises(FormatError, match="'tiny' multiplies int8"):
            heddle.torch.wrap(model, other)
