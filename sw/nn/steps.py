"""A training step of a perceptron as a program of the device: forward, loss, backward, the weights'
gradients, and the update of the masters, all in tensor memory.

The host brings a batch and its targets, and weights as they are multiplied by; it takes losses and
masters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ..compiler import softmax_programs, update_programs
from ..compiler.backward import TrainingBuilder
from ..compiler.packing import PackedWeights
from ..compiler.program import Program
from ..compiler.settings import biases_from, settings_of
from ..compiler.tensors import Tensor
from ..errors import FormatError
from ..host import programs
from ..host.device import Device
from .exact import GROUP, Master, Numbers


@dataclass(frozen=True)
class Held:
    """A layer's tensors: masters and what they were changed by last, FP32."""

    weights: Tensor
    speed: Tensor
    bias: Tensor
    bias_speed: Tensor

    def of(self, master: Master) -> list[tuple[Tensor, np.ndarray]]:
        """Each with the array that it holds."""
        rows = master.bias[None], master.bias_speed[None]
        arrays = master.weights, master.speed, *rows
        return list(
            zip((self.weights, self.speed, self.bias, self.bias_speed), arrays, strict=True)
        )


@dataclass(frozen=True)
class Step:
    """A program, and the tensors that the host reaches."""

    program: Program
    x: Tensor
    targets: Tensor
    ones: Tensor
    losses: Tensor
    layers: list[Held]

    def load(self, device: Device, masters: Sequence[Master]) -> None:
        """Bring the program's constants and the masters."""
        programs.load(device, self.program)
        ones = np.zeros((self.ones.rows, self.ones.columns), np.float16)
        ones[:, 0] = 1
        self._write(device, self.ones, ones)
        for held, master in zip(self.layers, masters, strict=True):
            for tensor, values in held.of(master):
                self._write(device, tensor, values)

    def run(self, device: Device, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """A step on a batch, float16 and float32; returns each row's loss."""
        self._write(device, self.x, x)
        self._write(device, self.targets, targets)
        programs.run(device, self.program)
        return _read(device, self.losses)[:, 0].view("<f4")

    def take(self, device: Device, masters: Sequence[Master]) -> None:
        """The masters as they are on the device."""
        for held, master in zip(self.layers, masters, strict=True):
            for tensor, values in held.of(master):
                values[...] = _read(device, tensor).view("<f4")

    @staticmethod
    def _write(device: Device, tensor: Tensor, values: np.ndarray) -> None:
        words = tensor.to_words(np.ascontiguousarray(values).view(f"<u{values.itemsize}"))
        device.write_memory(tensor.address, words)


def _read(device: Device, tensor: Tensor) -> np.ndarray:
    return tensor.from_words(device.read_memory(tensor.address, tensor.words))


def compiled(
    config: Config,
    batch: int,
    shapes: Sequence[tuple[int, int]],
    used: Sequence[tuple[PackedWeights, PackedWeights]],
    numbers: Numbers,
) -> Step:
    """The step of layers [K, C] with these weights, forward [K, C] and backward [C, K].

    Raises `FormatError` for a device without training or vector unit, for scores that are no whole
    groups, and if the memory is full.
    """
    if not config.vector_lanes:
        raise FormatError(f"the device {config.name!r} has no vector unit, which trains")
    if shapes[-1][1] % GROUP:
        raise FormatError(f"scores of {shapes[-1][1]} classes: fill them up to groups of {GROUP}")
    builder, last = TrainingBuilder(config), len(shapes) - 1
    x, ones = builder.tensor(batch, shapes[0][0]), builder.tensor(batch, GROUP)
    values, held = [x], [_held(builder, *shape) for shape in shapes]
    for i, ((_, outputs), layer) in enumerate(zip(shapes, held, strict=True)):
        output = OutputFormat.FP32 if i == last else OutputFormat.FP16
        values.append(builder.tensor(batch, outputs, output.result_bits))
        settings = biases_from(config, layer.bias)
        builder.product(values[i], used[i][0], settings, i < last, output, values[-1])
    scores = values[-1]
    targets = builder.tensor(batch, scores.columns, 32)
    losses = builder.tensor(batch, GROUP, 32)
    dys = [builder.tensor(batch, scores.columns, apart=x)]
    factor = numbers.scale / batch
    builder.vector(softmax_programs.loss_gradient(scores, targets, dys[0], factor))
    builder.vector(softmax_programs.cross_entropy(scores, targets, losses))
    for i in range(last, 0, -1):
        inputs = shapes[i][0]
        dys.insert(0, builder.tensor(batch, inputs, apart=values[i - 1]))
        plain = settings_of(config, inputs)
        weights, to_fp16 = used[i][1], OutputFormat.FP16
        builder.product(dys[1], weights, plain, False, to_fp16, dys[0], mask=values[i])
    for taken, dy, layer in zip(values, dys, held, strict=False):
        settings = settings_of(config, dy.columns, scale=1 / numbers.scale)
        for left, values_, speed, decay in (
            (taken, layer.weights, layer.speed, numbers.decay),
            (ones, layer.bias, layer.bias_speed, 0.0),
        ):
            dw = builder.tensor(left.columns, dy.columns, 32)
            builder.gradient(left, dy, dw, settings=settings)
            _update(builder.vector, dw.part(0, values_.rows), values_, speed, numbers, decay)
            builder.free(dw)
    return Step(builder.program(), x, targets, ones, losses, held)


def _held(builder: TrainingBuilder, inputs: int, outputs: int) -> Held:
    weights, speed = (builder.tensor(inputs, outputs, 32) for _ in range(2))
    return Held(weights, speed, *(builder.tensor(1, outputs, 32) for _ in range(2)))


def _update(
    vector: Callable, dw: Tensor, w: Tensor, v: Tensor, numbers: Numbers, decay: float
) -> None:
    vector(update_programs.momentum(dw, w, v, numbers.momentum, decay))
    vector(update_programs.descent(w, v, numbers.rate))
