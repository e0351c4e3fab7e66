"""A packed network: layers of compact weights, run by whatever can multiply."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hw.commands import OutputFormat
from hw.formats import FP16
from sim.golden import dot, epilogue

from . import container
from .device import Device
from .driver import Stats, matmul, settings
from .errors import FormatError
from .packing import PackedWeights, pack, to_dense, to_raw
from .trainer import Layer

DEFAULT = Path(__file__).parent / "networks" / "digits-2of8.safetensors"
"""The trained network that ships with Heddle; `heddle train` makes it again."""


@dataclass(frozen=True)
class PackedLayer:
    """``relu?(x @ weights + bias)``."""

    weights: PackedWeights
    bias: np.ndarray
    relu: bool


@dataclass
class Network:
    """A multi-layer perceptron with packed FP16 weights; activations between layers are FP16."""

    layers: list[PackedLayer]
    data: str
    """The data set it was trained on."""
    notes: dict = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        container.save(
            path,
            {f"layer{i}": layer.weights for i, layer in enumerate(self.layers)},
            {f"layer{i}.bias": layer.bias for i, layer in enumerate(self.layers)},
            {"data": self.data, "relu": [layer.relu for layer in self.layers], **self.notes},
        )

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "Network":
        """Raises `FormatError` if the file is no network (see also `container.load`)."""
        matrices, arrays, notes = container.load(path)
        try:
            data, relu = notes.pop("data"), notes.pop("relu")
            layers = [
                PackedLayer(matrices[f"layer{i}"], arrays[f"layer{i}.bias"], bool(r))
                for i, r in enumerate(relu)
            ]
        except KeyError as reason:
            raise FormatError(f"{path} holds packed matrices, but no network ({reason})") from None
        return cls(layers, data, notes)

    def run(self, x: np.ndarray, product: Callable) -> list[np.ndarray]:
        """Raw outputs of every layer: FP16, the last FP32.

        `product(x, layer, output, number)` does one layer: `hardware`, `golden` below.
        """
        outputs = [to_raw(x, FP16)]
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            output = OutputFormat.FP32 if last else OutputFormat.FP16
            outputs.append(product(outputs[-1], layer, output, i))
        return outputs[1:]

    def float32(self, x: np.ndarray) -> np.ndarray:
        """Scores by plain float32 NumPy with the same weights."""
        value = x.astype(np.float32)
        for layer in self.layers:
            value = value @ to_dense(layer.weights).astype(np.float32) + layer.bias
            value = np.maximum(value, 0) if layer.relu else value
        return value


def from_trained(layers: list[Layer], data: str, notes: dict | None = None) -> Network:
    """Pack trained layers."""
    packed = [
        PackedLayer(
            pack(layer.used(), FP16, layer.n, layer.m), layer.bias, relu=i < len(layers) - 1
        )
        for i, layer in enumerate(layers)
    ]
    return Network(packed, data, notes or {})


def hardware(
    device: Device,
    stats: list[Stats],
    dense: bool = False,
    on_progress: Callable[[int, float], None] | None = None,
) -> Callable:
    """Layers on a device, its `Stats` appended; `dense` issues every weight, zeros included."""

    def product(x, layer: PackedLayer, output: OutputFormat, number: int) -> np.ndarray:
        weights = layer.weights.unpack() if dense else layer.weights
        progress = None
        if on_progress is not None:
            progress = lambda part, report=on_progress: report(number, part)  # noqa: E731
        raw, counted = matmul(
            device,
            x,
            weights,
            bias=layer.bias,
            relu=layer.relu,
            output=output,
            on_progress=progress,
        )
        stats.append(counted)
        return raw

    return product


def golden(config) -> Callable:
    """Layers by the golden model."""

    def product(x, layer: PackedLayer, output: OutputFormat, number: int) -> np.ndarray:
        sums = dot.exact_matmul(FP16, x, layer.weights.unpack())
        s = settings(config, layer.weights.shape[1], layer.bias)
        bias, scale, exponent = (np.array(v, object) for v in (s.bias, s.scale, s.exponent))
        return epilogue.finish(sums, bias, scale, exponent, layer.relu, output).raw

    return product


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest score is the label's; raw FP32 scores are read as such."""
    if scores.dtype == np.uint32:
        scores = scores.view(np.float32)
    return float(np.mean(np.argmax(scores, axis=1) == labels))
