"""A training step in the device's arithmetic, on the host: every product an exact sum that is
rounded once, all else one IEEE operation after another.

Forward, values are FP16 and the scores FP32; backward, the loss gradient is scaled and rounded to
FP16, and so is each layer's; weights' and biases' gradients are FP32 with the scale taken off.
Masters are FP32, and FP16 where they are multiplied by. Channels are filled up to whole groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...hw.config import MAX_TERMS, Config
from ...hw.formats import FP16, OutputFormat
from ...hw.isa.descriptors import Vector
from ...sim.golden import fast, vector
from ...sim.golden.biases import fixed_point
from ..compiler import softmax_programs
from ..compiler.tensors import Tensor
from ..compiler.transposed import pixel_phases
from ..compiler.walks import Kernel
from ..errors import FormatError
from . import stages
from .backprop import Passed
from .stages import Stage

Pair = tuple[np.ndarray, np.ndarray]
"""A layer's weights, forward and backward; or gradients, of its weights and its biases."""
Change = Callable[[int, np.ndarray], np.ndarray]
"""Of the gradient of a layer's output, by the layer's number."""
Loss = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of scores [B, classes], float32: their gradient, float16, and each row's loss, float32."""
Operands = Passed[fast.Operand]
GROUP = 8
"""Channels, scores and targets are filled up to whole groups, of so many unless a device has
others."""


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
    """A layer's weights [K, C] and biases [C], and what they were changed by last, float32. K is
    the taps of the stage's window, each with whole groups of channels."""

    weights: np.ndarray
    bias: np.ndarray
    speed: np.ndarray
    bias_speed: np.ndarray
    stage: Stage = Stage()

    @property
    def taps(self) -> tuple[int, ...]:
        """The weights' shape as a convolution's: [height, width, channels in, out]."""
        kernel = self.stage.kernel
        return *kernel.size, self.weights.shape[0] // kernel.taps, self.weights.shape[1]


@dataclass(frozen=True)
class Gradients:
    """What a step finds out."""

    losses: np.ndarray
    """float32 [B]; NaN if a value overflowed on the way forward."""
    layers: list[Pair] | None
    """Of each layer's weights and biases, float32; None if something overflowed."""


@dataclass(frozen=True)
class Outcome:
    """What a step tells."""

    losses: np.ndarray
    """float32 [B]; NaN if a value overflowed on the way forward."""
    counts: bool
    """Nothing overflowed, and so the masters were changed."""


def targets_of(labels: np.ndarray, classes: int, group: int = GROUP) -> np.ndarray:
    """Targets [B, whole groups] of the vector unit's programs."""
    made = np.full((len(labels), -(-classes // group) * group), -np.inf, np.float32)
    made[:, :classes] = 0
    made[np.arange(len(labels)), labels] = 1
    return made


def images_of(x: np.ndarray, stage: Stage) -> np.ndarray:
    """Rows of pixels as the first layer takes them: [B, height, width, channels], float16.

    Raises `FormatError` for a number that is too large.
    """
    with np.errstate(over="ignore"):
        images = x.reshape(len(x), stage.height, stage.width, -1).astype(np.float16)
    if not np.isfinite(images).all():
        raise FormatError(
            f"a number of the data set is {x.flat[np.argmax(np.abs(x))]:g}, and devices take up to "
            f"{np.finfo(np.float16).max:g}: scale it"
        )
    return images


def step(
    masters: Sequence[Master],
    used: Sequence[Pair],
    x: np.ndarray,
    targets: np.ndarray,
    numbers: Numbers,
    group: int = GROUP,
    loss: Loss | None = None,
) -> Outcome:
    """Change the masters by one step on images [B, height, width, channels], or vectors [B, K],
    float16; `used` are each layer's weights of this step, forward and backward [K, C], float16.
    Targets may have more columns than the last layer: what only fills them up to whole groups of
    `group`, the device's M. For another `loss` see `gradients`. Raises `FormatError` for a result
    that several layers add."""
    made = gradients(masters, used, x, targets, numbers.scale, group=group, loss=loss)
    for master, (dw, db) in zip(masters, made.layers or (), strict=False):
        _update(master.weights, master.speed, dw, numbers, numbers.decay)
        _update(master.bias, master.bias_speed, db, numbers, 0.0)
    return Outcome(made.losses, made.layers is not None)


def as_it_is(layer: int, dy: np.ndarray) -> np.ndarray:
    """A layer's gradient, unchanged."""
    return dy


def gradients(
    masters: Sequence[Master],
    used: Sequence[Pair],
    x: np.ndarray,
    targets: np.ndarray,
    scale: float,
    errors: Change = as_it_is,
    samples: Change = as_it_is,
    first: int = 0,
    group: int = GROUP,
    loss: Loss | None = None,
) -> Gradients:
    """The gradients of a step; arguments as `step` has them. Another `loss` than the cross-entropy
    with the targets makes its gradient, `scale` in it, and each row's loss of the scores. `errors`
    changes the gradient of a layer's output [B, pixels, C], float16, on its way to the input,
    `samples` that [rows, C] of which the weights' is made. Layers before the `first` one have no
    gradients. Raises `FormatError` as `step`."""
    # Masters may have outgrown FP16.
    finite = all(np.isfinite(weights).all() for pair in used for weights in pair)
    passed = _forward(masters, used, x) if finite else None
    if passed is None:
        return Gradients(np.full(len(x), np.nan, np.float32), None)
    scores = passed.values[-1].reshape(len(x), -1)
    dy, losses = loss(scores) if loss else _loss(scores, targets, scale / len(x), group)
    dys = _backward(masters, used, passed, dy.reshape(passed.full[-1].shape), errors, first)
    if dys is None:
        return Gradients(losses, None)
    exponent, made = -int(np.log2(scale)), []
    for layer, (rows, images) in enumerate(zip(passed.taken[first:], dys, strict=True), first):
        gradient = images.reshape(len(rows.whole), -1)
        ones = np.ones((len(gradient), 1), np.float16)
        drawn = samples(layer, gradient)
        if not np.isfinite(drawn).all():
            return Gradients(losses, None)
        dy = _operand(gradient)
        pairs = (rows, dy if drawn is gradient else _operand(drawn)), (_operand(ones), dy)
        dw, db = (
            _product(x.seen(np.transpose), y, OutputFormat.FP32, exponent=exponent)
            for x, y in pairs
        )
        made.append((dw, db[0]))
    return Gradients(losses, made)


def later_of(stages_: Sequence[Stage], number: int) -> int | None:
    """The layer that adds the result of layer `number` to its sums, if there is one.

    Raises `FormatError` if there are several: their gradients would be more than one addend.
    """
    later = [n for n, stage in enumerate(stages_) if stage.add == number]
    if len(later) > 1:
        raise FormatError(f"the result of layer {number} is added by layers {later}: one may be")
    return later[0] if later else None


def _forward(masters: Sequence[Master], used: Sequence[Pair], x: np.ndarray) -> Operands | None:
    """None if a value is not finite."""
    first = masters[0].stage
    values, taken, full = [x.reshape(len(x), first.height, first.width, -1)], [], []
    for i, (master, (weights, _)) in enumerate(zip(masters, used, strict=True)):
        stage, last = master.stage, i == len(masters) - 1
        images = values[-1].reshape(len(x), stage.height, stage.width, -1)
        taken.append(_rows(_operand(images), stage.kernel))
        added = None if stage.add is None else values[stage.add + 1]
        made = _product(
            *(taken[-1], _operand(weights)),
            OutputFormat.FP32 if last else OutputFormat.FP16,
            bias=master.bias,
            relu=not last,
            addend=None if added is None else added.reshape(len(taken[-1].whole), -1),
        )
        if not np.isfinite(made).all():
            return None
        full.append(made.reshape(len(x), *stage.out, -1))
        values.append(stages.pooled(full[-1], stage.pool))
    return Passed(values, taken, full)


def _backward(
    masters: Sequence[Master],
    used: Sequence[Pair],
    passed: Operands,
    dy: np.ndarray,
    errors: Change,
    first: int,
) -> list[np.ndarray] | None:
    """The gradient of each layer's sums from the `first` one on, images; None if one is not
    finite."""
    dys, values = [dy], passed.values
    for i in range(len(masters) - 1, first, -1):
        if not np.isfinite(dys[0]).all():
            return None
        master, stage = masters[i], masters[i].stage
        # Of the values that layer i takes; what was added to a later layer's sums takes part.
        later = later_of([each.stage for each in masters], i - 1)
        shape = len(dy), stage.height, stage.width, -1
        weights = used[i][1].reshape(master.taps)
        inputs = values[i].reshape(shape)
        added = None if later is None else dys[later - i]
        onward = errors(i, dys[0].reshape(len(dy), -1, dys[0].shape[-1])).reshape(dys[0].shape)
        if not np.isfinite(onward).all():
            return None
        made = _transposed(onward, weights, stage, inputs, added)
        behind = masters[i - 1].stage
        gradient = made.reshape(values[i].shape)
        unpooled = stages.unpooled(gradient, passed.full[i - 1], behind.pool)
        dys.insert(0, unpooled + np.float16(0))  # what it leaves out is +0, as on the device
    return dys if np.isfinite(dys[0]).all() else None


def _transposed(
    dy: np.ndarray, weights: np.ndarray, stage: Stage, inputs: np.ndarray, added: np.ndarray | None
) -> np.ndarray:
    """The gradient of images `inputs` whose convolution has the gradient `dy`; 0 where they are."""
    dx = np.zeros(inputs.shape, np.float16)
    (down, right), channels, images = stage.kernel.stride, inputs.shape[3], _operand(dy)
    for phase in pixel_phases(stage.kernel, stage.height, stage.width):
        (above, left), count = phase.first, len(dy) * phase.height * phase.width
        mine = np.s_[:, above::down, left::right]
        made = _product(
            _rows(images, phase.kernel),
            _operand(phase.matrix(weights, 1)),
            OutputFormat.FP16,
            masked=inputs[mine].reshape(count, channels) == 0,
            addend=None if added is None else added[mine].reshape(count, channels),
        )
        dx[mine] = made.reshape(len(dy), phase.height, phase.width, channels)
    return dx


def _rows(images: fast.Operand, kernel: Kernel) -> fast.Operand:
    """What a convolution of images multiplies its weights by."""
    return images.seen(lambda values: stages.rows(values, kernel))


def _operand(values: np.ndarray) -> fast.Operand:
    return fast.Operand.of(FP16, np.ascontiguousarray(values, np.float16).view(np.uint16))


def _product(
    x: fast.Operand,
    w: fast.Operand,
    output: OutputFormat,
    bias: np.ndarray | None = None,
    relu: bool = False,
    masked: np.ndarray | bool = False,
    addend: np.ndarray | None = None,
    exponent: int = 0,
) -> np.ndarray:
    """``round(relu?(x @ w + bias + addend) * 2**exponent)``."""
    unit, channels = FP16.product_unit_log2, w.whole.shape[1]
    whole = [0] * channels
    if bias is not None:
        width = FP16.accumulator_bits(MAX_TERMS)
        whole = [fixed_point(raw, unit, width)[0] for raw in bias.view("<u4").tolist()]
    columns = whole, [1] * channels, [unit + exponent] * channels
    added = None if addend is None else np.ascontiguousarray(addend).view(np.uint16)
    done = fast.rounded_matmul(FP16, x, w, *columns, relu, output, added, masked)
    return done.raw.view(f"f{output.bytes}")


def _loss(
    scores: np.ndarray, targets: np.ndarray, factor: float, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """The loss gradient, float16, and each row's loss: by the vector unit's own programs."""
    classes = scores.shape[1]
    scores = np.pad(scores, ((0, 0), (0, targets.shape[1] - classes)))
    tensors, programs = _losses(*scores.shape, factor, group)
    x, t, dx, loss = tensors
    config, top = x.config, loss.address + loss.space
    memory = np.zeros((top + 1024, config.stream_bytes), np.uint8)
    for tensor, held in ((x, scores), (t, targets)):
        memory[tensor.address :][: tensor.words] = tensor.to_words(held.view("<u4"))
    for command, content in programs:
        memory[top : top + len(content)] = content
        vector.run(config, memory, command)
    made = [tensor.from_words(memory[tensor.address :][: tensor.words]) for tensor in (dx, loss)]
    return made[0].view("<f2")[:, :classes], made[1].view("<f4")[:, 0]


@lru_cache(maxsize=8)
def _losses(
    rows: int, columns: int, factor: float, group: int
) -> tuple[list[Tensor], list[tuple[Vector, np.ndarray]]]:
    """Scores, targets, gradient and losses, one behind the other; the commands that make the
    latter, and their programs, which lie behind those."""
    config = Config("loss", 8, 8, FP16, group, tensor_words=1 << 16, vector_lanes=group)
    tensors, top = [], 0
    for shape in ((columns, 32), (columns, 32), (columns, 16), (group, 32)):
        tensors.append(Tensor(config, top, rows, *shape))
        top += tensors[-1].space
    x, t, dx, loss = tensors
    programs = softmax_programs.losses(x, t, dx, loss, factor)
    contents = [
        np.frombuffer(p.content, np.uint8).reshape(-1, config.stream_bytes) for p in programs
    ]
    return tensors, [(p.command(top), words) for p, words in zip(programs, contents, strict=True)]


def _update(
    values: np.ndarray, speed: np.ndarray, gradient: np.ndarray, numbers: Numbers, decay: float
) -> None:
    """As `update_programs.momentum` and `descent`."""
    rate, keep, less = (np.float32(v) for v in (numbers.rate, numbers.momentum, decay))
    speed[...] = speed * keep + (gradient + values * less)
    values -= speed * rate
