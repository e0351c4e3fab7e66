"""Training steps as programs: every weight, bias, momentum and loss as the host computes them in
the device's arithmetic; and that arithmetic against float64."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import changed
from heddle.hw.isa.codes import Flag
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler.walks import Kernel
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device
from heddle.sw.nn import data, exact, steps
from heddle.sw.nn.exact import Master, Numbers
from heddle.sw.nn.recipes import Dense, Moment
from heddle.sw.nn.recipes.bdwp import Bdwp
from heddle.sw.nn.stages import Stage
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

from ..sim.devices import LEARNER

NUMBERS = Numbers(rate=0.05, momentum=0.9, decay=1e-4)
DEVICES = {
    "model": ModelTransport,
    "simulated": lambda config: SimulatedTransport(config, optimise="-O0"),
    "stalled": lambda config: SimulatedTransport(
        config, stalls=Stalls(0.2, 0.2, seed=5), optimise="-O0"
    ),
}


def named(*often: str) -> list:
    """Devices by name, those that are not tried often in the long tests."""
    marks = {name: () if name in often else (pytest.mark.slow,) for name in DEVICES}
    return [pytest.param(name, marks=marks[name]) for name in DEVICES]


def masters(rng, *widths: int) -> list[Master]:
    made = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        weights = (rng.standard_normal((inputs, outputs)) * np.sqrt(4 / inputs)).astype("f4")
        bias = (rng.standard_normal(outputs) * 0.1).astype("f4")
        made.append(Master(weights, bias, np.zeros_like(weights), np.zeros_like(bias)))
    return made


def kept(made: list[Master]) -> list[int]:
    """The N of every 8 that each layer keeps."""
    return [8 if m is made[-1] or len(m.weights) < 16 else 2 for m in made]


def used(made: list[Master]) -> list[tuple[np.ndarray, np.ndarray]]:
    """By BDWP 2:8, the last layer and one of few inputs dense; FP16."""
    rules = [Dense() if n == 8 else Bdwp(n, 8) for n in kept(made)]
    pruned = [r.prune(m.weights, Moment(0, 1)) for r, m in zip(rules, made, strict=True)]
    return [(p.forward.astype("f2"), p.backward.astype("f2")) for p in pruned]


def packed(made: list[Master]) -> list[steps.Used]:
    return [steps.Used.of(m, *both) for m, both in zip(made, used(made), strict=True)]


def alike(host: list[Master], there: list[Master]) -> None:
    for number, (mine, its) in enumerate(zip(host, there, strict=True)):
        for part in ("weights", "speed", "bias", "bias_speed"):
            assert getattr(mine, part).tobytes() == getattr(its, part).tobytes(), (number, part)


def two_steps_alike(
    name: str, make: Callable, draw: Callable, by_device: bool, at_use: bool = False
) -> None:
    """Two steps, the second one with the masters that the first one left, are the host's in every
    bit; `make` gives masters, `draw` a batch. The device prunes them itself, at the end of a step
    for the next one or before each product, or the host does and brings them."""
    rng = np.random.default_rng(1)
    host, there = (make(np.random.default_rng(2)) for _ in range(2))
    made = None
    with Device(DEVICES[name](LEARNER), LEARNER.name) as device:
        for _ in range(2):
            x = draw(rng)
            targets = exact.targets_of(rng.integers(10, size=len(x)), 10)
            if made is None or not by_device:
                weights = kept(there) if by_device else packed(there)
                made = steps.compiled(LEARNER, len(x), there, weights, NUMBERS, at_use)
                made.load(device, there)
            losses, _ = made.run(device, x, targets)
            made.take(device, there)
            outcome = exact.step(host, used(host), x, targets, NUMBERS)
            assert outcome.counts and not device.flags()
            assert losses.tobytes() == outcome.losses.tobytes()
            alike(host, there)


def by_device(*often: str) -> list:
    """Devices that prune themselves, and the model of one that does not."""
    return [pytest.param("model", False, id="model-host")] + [
        pytest.param(*each.values, True, marks=each.marks, id=f"{each.values[0]}-device")
        for each in named(*often)
    ]


@pytest.mark.parametrize(("name", "pruning"), by_device("model"))
def test_steps_on_a_device(name, pruning):
    """Of three layers of vectors."""
    two_steps_alike(
        name,
        lambda rng: masters(rng, 40, 16, 24, 16),
        lambda rng: rng.random((12, 40)).astype("f2"),
        pruning,
    )


@pytest.mark.parametrize("name", named("model"))
def test_masters_are_pruned_before_each_product(name):
    two_steps_alike(
        name,
        lambda rng: masters(rng, 40, 16, 24, 16),
        lambda rng: rng.random((12, 40)).astype("f2"),
        by_device=True,
        at_use=True,
    )


@pytest.mark.parametrize("name", ["model", "stalled"])
def test_a_step_that_overflows_counts_for_nothing(name):
    """Masters, momentum and biases stay as they are; the next step is as if nothing had been."""
    rng = np.random.default_rng(4)
    host, there = (masters(np.random.default_rng(2), 40, 16, 24, 16) for _ in range(2))
    with Device(DEVICES[name](LEARNER), LEARNER.name) as device:
        made = steps.compiled(LEARNER, 12, there, kept(there), NUMBERS)
        made.load(device, there)
        for size, counts in ((1, True), (60000, False), (1, True)):
            x = (rng.random((12, 40)) * size).astype("f2")
            targets = exact.targets_of(rng.integers(10, size=12), 10)
            made.run(device, x, targets)
            made.take(device, there)
            outcome = exact.step(host, used(host), x, targets, NUMBERS)
            assert outcome.counts is counts
            assert (Flag.OVERFLOW in device.flags()) is not counts
            alike(host, there)


def squares(targets: np.ndarray) -> exact.Loss:
    """Half of the squared distance, and its gradient with the scale in it."""

    def loss(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        apart = scores - targets
        factor = np.float32(NUMBERS.scale / len(scores))
        return (apart * factor).astype("f2"), (apart**2).sum(axis=1) / 2

    return loss


@pytest.mark.parametrize("name", named("model"))
def test_a_loss_of_the_hosts_own(name):
    """The device makes scores, and goes on from their gradient; what has overflowed on the way, or
    in the gradient, is no step."""
    rng = np.random.default_rng(6)
    host, there = (masters(np.random.default_rng(2), 40, 16, 24, 16) for _ in range(2))
    with Device(DEVICES[name](LEARNER), LEARNER.name) as device:
        made = steps.compiled(LEARNER, 12, there, kept(there), NUMBERS, loss=False)
        made.load(device, there)
        for size in (1, 60000, 1):
            x = (rng.random((12, 40)) * size).astype("f2")
            loss = squares(rng.random((12, 16), np.float32))
            scores = made.forward(device, x)
            assert np.isnan(scores).all() if size > 1 else np.isfinite(scores).all()
            with np.errstate(invalid="ignore"):
                dy, _ = loss(scores)
            counts, _ = made.backward(device, dy)
            made.take(device, there)
            outcome = exact.step(host, used(host), x, scores, NUMBERS, loss=loss)
            assert outcome.counts is counts is (size == 1)
            alike(host, there)
        made.forward(device, x)
        for dy in (np.full((12, 16), np.inf, "f2"), np.full((12, 16), 60000, "f2")):
            assert made.backward(device, dy)[0] is False
        made.take(device, there)
        alike(host, there)


def network(rng) -> list[Master]:
    """Three convolutions, of which the second has a stride and the third adds what it is given and
    is pooled, and two layers of vectors: as the shipped network, smaller."""
    same = {"padding": (1, 1)}
    shapes = [
        (8, 8, Stage(4, 4, Kernel((3, 3), **same))),
        (8, 16, Stage(4, 4, Kernel((3, 3), (2, 2), **same))),
        (16, 16, Stage(2, 2, Kernel((3, 3), **same), add=1, pool=2)),
        (16, 16, Stage()),
        (16, 16, Stage()),
    ]
    made = []
    for inputs, outputs, stage in shapes:
        taps = stage.kernel.size[0] * stage.kernel.size[1]
        (master,) = masters(rng, taps * inputs, outputs)
        made.append(replace(master, stage=stage))
    return made


@pytest.mark.parametrize(("name", "pruning"), by_device("model", "simulated"))
def test_a_step_of_convolutions(name, pruning):
    def draw(rng) -> np.ndarray:
        x = np.zeros((3, 4, 4, 8), np.float16)
        x[..., 0] = rng.random((3, 4, 4))  # one channel, and zeros to a whole group
        return x

    two_steps_alike(name, network, draw, pruning)


def test_a_step_beside_float64():
    """The same step without rounding but for the weights'; FP16's last places apart."""
    rng, batch = np.random.default_rng(3), 32
    made = masters(rng, 64, 32, 16)
    weights = [tuple(w.astype(float) for w in pair) for pair in used(made)]
    x, labels = rng.random((batch, 64)).astype("f2"), rng.integers(10, size=batch)
    targets = exact.targets_of(labels, 10)
    hidden = np.maximum(x.astype(float) @ weights[0][0] + made[0].bias, 0)
    scores = (hidden @ weights[1][0] + made[1].bias)[:, :10]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    losses = -np.log(chances[np.arange(batch), labels])
    dy = np.zeros((batch, 16))
    dy[:, :10] = (chances - np.eye(10)[labels]) / batch
    back = (dy @ weights[1][1].T) * (hidden > 0)
    gradients = [x.astype(float).T @ back, hidden.T @ dy]
    wanted = [
        -NUMBERS.rate * (gradient + NUMBERS.decay * master.weights)
        for gradient, master in zip(gradients, made, strict=True)
    ]
    before = [(master.weights.copy(), master.bias.copy()) for master in made]
    outcome = exact.step(made, used(made), x, targets, NUMBERS)
    assert outcome.losses == pytest.approx(losses, rel=2e-3)
    for master, (weights_before, bias_before), change in zip(made, before, wanted, strict=True):
        moved = master.weights - weights_before
        assert np.abs(moved - change).max() < 3e-3 * np.abs(change).max()
        assert (master.bias != bias_before)[: change.shape[1] - 6].any()


def test_a_step_that_overflows_changes_nothing():
    rng = np.random.default_rng(4)
    made = masters(rng, 16, 16, 16)
    made[1].weights *= 1000
    before = [master.weights.copy() for master in made]
    x, targets = rng.random((8, 16)).astype("f2"), exact.targets_of(np.arange(8), 10)
    outcome = exact.step(made, used(made), x, targets, Numbers(0.1, 0.9, 0.0, scale=2.0**20))
    assert not outcome.counts
    assert all((a == m.weights).all() for a, m in zip(before, made, strict=True))


def test_digits_are_learnt_in_the_device_s_arithmetic():
    digits, rng = data.load(), np.random.default_rng(5)
    made = masters(rng, 64, 32, 16)
    for _ in range(4):
        order = rng.permutation(len(digits.train_x))
        for at in range(0, len(order) - 63, 64):
            chosen = order[at : at + 64]
            x = digits.train_x[chosen].astype("f2")
            targets = exact.targets_of(digits.train_y[chosen], 10)
            exact.step(made, used(made), x, targets, NUMBERS)
    hidden = np.maximum(digits.test_x @ used(made)[0][0].astype("f4") + made[0].bias, 0)
    scores = hidden @ made[1].weights + made[1].bias
    assert (scores[:, :10].argmax(axis=1) == digits.test_y).mean() > 0.9


def test_what_cannot_be_trained():
    rng = np.random.default_rng(6)
    with pytest.raises(FormatError, match="no vector unit"):
        steps.compiled(changed(LEARNER, vector_lanes=0), 8, masters(rng, 16, 16), [], NUMBERS)
    several = [Stage(), Stage(add=0), Stage(add=0)]
    with pytest.raises(FormatError, match=r"layer 0 is added by layers \[1, 2\]"):
        exact.later_of(several, 0)
    with pytest.raises(FormatError, match="fill them up to groups of 8"):
        steps.compiled(LEARNER, 8, masters(rng, 16, 10), [], NUMBERS)
