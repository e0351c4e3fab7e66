"""A training step of a perceptron in the device's arithmetic, on the host: every product an exact
sum that is rounded once, all else one IEEE operation after another.

Forward, values are FP16 and the scores FP32; backward, the loss gradient is scaled and rounded to
FP16, and so is each layer's; weights' and biases' gradients are FP32 with the scale taken off.
Masters are FP32, and FP16 where they are multiplied by.
"""

from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, OutputFormat
from ...sim.golden import fast, vector
from ...sim.golden.biases import fixed_point
from ..compiler import softmax_programs
from ..compiler.tensors import Tensor
from ..errors import FormatError
from .layers import Layer

GROUP = 8
"""Columns of scores and targets are filled up to whole groups."""


@dataclass(frozen=True)
class Numbers:
    """What a step is told beside weights and data."""

    rate: float
    momentum: float
    decay: float
    scale: float = 1024.0
    """Of the loss: a power of two."""


@dataclass
class Master:
    """A layer's weights [K, C] and biases [C], and what they were changed by last, float32."""

    weights: np.ndarray
    bias: np.ndarray
    speed: np.ndarray
    bias_speed: np.ndarray

    @classmethod
    def of(cls, layer: Layer) -> "Master":
        """Raises `FormatError` for a convolution."""
        if not layer.stage.plain:
            raise FormatError("convolutions are not trained in the device's arithmetic yet")
        both = layer.weights.astype("f4"), layer.bias.astype("f4")
        return cls(*both, *map(np.zeros_like, both))


@dataclass(frozen=True)
class Outcome:
    """What a step tells."""

    losses: np.ndarray
    """float32 [B]; NaN if a value overflowed on the way forward."""
    counts: bool
    """Nothing overflowed, and so the masters were changed."""


def targets_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Targets [B, whole groups] of the vector unit's programs."""
    made = np.full((len(labels), -(-classes // GROUP) * GROUP), -np.inf, np.float32)
    made[:, :classes] = 0
    made[np.arange(len(labels)), labels] = 1
    return made


def step(
    masters: list[Master],
    used: list[tuple[np.ndarray, np.ndarray]],
    x: np.ndarray,
    targets: np.ndarray,
    numbers: Numbers,
) -> Outcome:
    """Change the masters by one step on x [B, K], float16; `used` are each layer's weights of this
    step, forward and backward [K, C], float16. The last layer's columns are the targets'."""
    values, overflow, last = [x], False, len(masters) - 1
    for i, (master, (forward, _)) in enumerate(zip(masters, used, strict=True)):
        output = OutputFormat.FP32 if i == last else OutputFormat.FP16
        made = _product(values[-1], forward, output, master.bias, relu=i < last)
        values.append(made[0])
        overflow |= made[1]
    if overflow:
        return Outcome(np.full(len(x), np.nan, np.float32), False)
    dy, losses = _loss(values[-1], targets, numbers.scale / len(x))
    dys = [dy]
    for i in range(last, 0, -1):
        if not np.isfinite(dys[0]).all():
            return Outcome(losses, False)
        made = _product(dys[0], used[i][1].T, OutputFormat.FP16, masked=values[i] == 0)
        dys.insert(0, made[0])
    if not np.isfinite(dys[0]).all():
        return Outcome(losses, False)
    ones = np.ones((len(x), 1), np.float16)
    for master, taken, dy in zip(masters, values, dys, strict=False):
        dw, db = (
            _product(left.T, dy, OutputFormat.FP32, exponent=-int(np.log2(numbers.scale)))[0]
            for left in (taken, ones)
        )
        _update(master.weights, master.speed, dw, numbers, numbers.decay)
        _update(master.bias, master.bias_speed, db[0], numbers, 0.0)
    return Outcome(losses, True)


def _product(
    x: np.ndarray,
    w: np.ndarray,
    output: OutputFormat,
    bias: np.ndarray | None = None,
    relu: bool = False,
    masked: np.ndarray | bool = False,
    exponent: int = 0,
) -> tuple[np.ndarray, bool]:
    """``round(relu?(x @ w + bias) * 2**exponent)``, and whether something overflowed."""
    unit, channels = FP16.product_unit_log2, w.shape[1]
    whole = [0] * channels
    if bias is not None:
        width = FP16.accumulator_bits(1 << 15)
        whole = [fixed_point(raw, unit, width)[0] for raw in bias.view("<u4").tolist()]
    columns = whole, [1] * channels, [unit + exponent] * channels
    raw = np.ascontiguousarray(x).view(np.uint16), np.ascontiguousarray(w).view(np.uint16)
    done = fast.rounded_matmul(FP16, *raw, *columns, relu, output, masked=masked)
    return done.raw.view(f"f{output.bytes}"), done.overflow


def _loss(scores: np.ndarray, targets: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The loss gradient, float16, and each row's loss: by the vector unit's own programs."""
    rows, columns = scores.shape
    config = Config("loss", 8, 8, FP16, tensor_words=1 << 16, vector_lanes=GROUP)
    tensors, top = [], 0
    for shape in ((columns, 32), (columns, 32), (columns, 16), (GROUP, 32)):
        tensors.append(Tensor(config, top, rows, *shape))
        top += tensors[-1].space
    x, t, dx, loss = tensors
    memory = np.zeros((top + 1024, config.stream_bytes), np.uint8)
    for tensor, held in ((x, scores), (t, targets)):
        memory[tensor.address :][: tensor.words] = tensor.to_words(held.view("<u4"))
    for program in (
        softmax_programs.loss_gradient(x, t, dx, factor),
        softmax_programs.cross_entropy(x, t, loss),
    ):
        content = np.frombuffer(program.content, np.uint8).reshape(-1, config.stream_bytes)
        memory[top : top + len(content)] = content
        vector.run(config, memory, program.command(top))
    made = [tensor.from_words(memory[tensor.address :][: tensor.words]) for tensor in (dx, loss)]
    return made[0].view("<f2"), made[1].view("<f4")[:, 0]


def _update(
    values: np.ndarray, speed: np.ndarray, gradient: np.ndarray, numbers: Numbers, decay: float
) -> None:
    """As `update_programs.momentum` and `descent`."""
    rate, keep, less = (np.float32(v) for v in (numbers.rate, numbers.momentum, decay))
    speed[...] = speed * keep + (gradient + values * less)
    values -= speed * rate
