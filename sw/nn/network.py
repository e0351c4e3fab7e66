"""A packed network: layers of compact weights, run by whatever can multiply."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, INT8, Format, OutputFormat
from ...sim.golden import dot, epilogue
from ..compiler.elements import as_array, to_raw
from ..compiler.packing import PackedWeights, pack, to_dense
from ..compiler.scaling import divided
from ..compiler.settings import settings_of
from ..errors import FormatError
from ..host.device import Device
from ..host.driver import VALUES, Stats, check_fits, matmul
from ..lib.contents import Contents
from . import container
from .trainer import Layer

SHIPPED = {
    FP16: Path(__file__).parent / "networks" / "digits-2of8.safetensors",
    INT8: Path(__file__).parent / "networks" / "digits-2of8-int8.safetensors",
}
"""The trained networks that ship with Heddle; `heddle train` makes them again."""
DEFAULT = SHIPPED[FP16]
HIDDEN = {FP16: OutputFormat.FP16, INT8: OutputFormat.INT8}
"""How a hidden layer's results leave the device: as elements, the next layer's activations."""


@dataclass(frozen=True, eq=False)
class PackedLayer(Contents):
    """``relu?((x @ weights + bias) * scale)``, bias and scale by output channel."""

    weights: PackedWeights
    bias: np.ndarray
    relu: bool
    scale: np.ndarray | float = 1.0


@dataclass(eq=False)
class Network(Contents):
    """A multi-layer perceptron; activations between layers are in the weights' format. Two are
    equal if all that they hold is."""

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    layers: list[PackedLayer]
    data: str
    """The data set it was trained on."""
    notes: dict = field(default_factory=dict)
    step: float = 1.0
    """What a one among the first layer's activations stands for."""

    @property
    def format(self) -> Format:
        """Of weights and activations."""
        return self.layers[0].weights.format

    def check_fits(self, config: Config) -> None:
        """Raise `FormatError` unless a device of `config` can run it."""
        if self.format != config.format:
            raise FormatError(
                f"the network is {self.format.name}, the device {config.name!r} multiplies "
                f"{config.format.name}: name no network for the one that ships in that format, or "
                f"make one with heddle train --format {config.format.name}"
            )
        for layer in self.layers:
            check_fits(layer.weights, config)

    def save(self, path: str | Path) -> None:
        """Write the network (see `container.save`). Raises `FormatError` for one that could not be
        loaded again."""
        matrices = {f"layer{i}": layer.weights for i, layer in enumerate(self.layers)}
        arrays = {}
        for i, layer in enumerate(self.layers):
            arrays[f"layer{i}.bias"] = np.asarray(layer.bias)
            if np.ndim(layer.scale) or layer.scale != 1:
                arrays[f"layer{i}.scale"] = np.asarray(layer.scale)
        notes = {"data": self.data, "relu": [bool(layer.relu) for layer in self.layers]}
        if self.step != 1:
            notes["step"] = float(self.step)
        if taken := sorted({"data", "relu", "step"} & self.notes.keys()):
            raise FormatError(f"notes of a network cannot be called {', '.join(taken)}")
        _check_chain(self.layers)
        container.save(path, matrices, arrays, notes | self.notes)

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "Network":
        """Raises `FormatError` if the file is no network (see also `container.load`)."""
        matrices, arrays, notes = container.load(path)
        data, relu, step = notes.pop("data", None), notes.pop("relu", None), notes.pop("step", 1.0)
        for name, value, fits in (
            ("data", data, isinstance(data, str)),
            ("relu", relu, _is_relu(relu) and len(relu) == len(matrices) > 0),
            ("step", step, type(step) in (int, float) and 0 < step < sys.float_info.max),
        ):
            if not fits:
                raise FormatError(
                    f"{path} holds packed matrices, but no network ({name!r} of its notes is "
                    f"{value!r}); make one with heddle train"
                )
        try:
            layers = [
                PackedLayer(
                    matrices[f"layer{i}"],
                    arrays[f"layer{i}.bias"],
                    r,
                    arrays.get(f"layer{i}.scale", 1.0),
                )
                for i, r in enumerate(relu)
            ]
            _check_chain(layers)
        except (KeyError, FormatError) as reason:
            raise FormatError(f"{path} holds packed matrices, but no network ({reason})") from None
        return cls(layers, data, step=step, notes=notes)

    def run(self, x: np.ndarray, product: Callable) -> list[np.ndarray]:
        """Outputs of every layer as numbers: elements of the format, the last float32.

        `product(x, layer, output, number)` does one layer: `hardware`, `golden` below. Inputs of an
        INT8 network are rounded and clipped as its layers' results are.
        """
        outputs = [divided(as_array(x, "activations"), self.step, self.format)]
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            output = OutputFormat.FP32 if last else HIDDEN[self.format]
            outputs.append(product(outputs[-1], layer, output, i))
        return outputs[1:]

    def float32(self, x: np.ndarray) -> np.ndarray:
        """Scores by plain float32 NumPy with the same weights."""
        value = x.astype(np.float32) / np.float32(self.step)
        for layer in self.layers:
            value = value @ to_dense(layer.weights).astype(np.float32) + layer.bias
            value = value * layer.scale
            value = np.maximum(value, 0) if layer.relu else value
        return value


def _is_relu(value) -> bool:
    return isinstance(value, list) and all(isinstance(relu, bool) for relu in value)


def _check_chain(layers: list[PackedLayer]) -> None:
    """Raise `FormatError` unless every layer fits the next one, and its own bias and scale."""
    if not layers:
        raise FormatError("a network has a layer at least")
    first = layers[0].weights
    check_trainable(first.format.name)
    for i, layer in enumerate(layers):
        weights = layer.weights
        if (weights.format, weights.group) != (first.format, first.group):
            raise FormatError(f"layer {i} has another format or group than the first one")
        if i and weights.shape[0] != (before := layers[i - 1].weights.shape[1]):
            raise FormatError(f"layer {i} takes {weights.shape[0]} inputs, but there are {before}")
        for name in ("bias", "scale"):
            value = np.asarray(getattr(layer, name))
            fits = value.shape in ((), (weights.shape[1],))
            if value.dtype.kind not in "fiu" or not fits or not np.isfinite(value).all():
                raise FormatError(
                    f"the {name} of layer {i} must be one finite number, or {weights.shape[1]}"
                )
            if name == "scale" and (value < 0).any():
                raise FormatError(f"a scale of layer {i} is negative")


def shipped(format: Format) -> Path:
    """The network that ships in `format`. Raises `FormatError` if there can be none."""
    check_trainable(format.name)
    return SHIPPED[format]


def check_trainable(name: str) -> None:
    """Raise `FormatError` unless networks can be of the format called `name`."""
    if name not in (format.name for format in HIDDEN):
        raise FormatError(
            f"there are no networks of {name!r}, but of {', '.join(f.name for f in HIDDEN)}: "
            "a layer's results must be elements, for they are the next one's activations"
        )


def from_trained(layers: list[Layer], data: str, notes: dict | None = None) -> Network:
    """Pack trained layers as FP16 (`sw.nn.quantise`: as INT8)."""
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
        weights = to_dense(layer.weights) if dense else layer.weights
        progress = None
        if on_progress is not None:
            progress = lambda part, report=on_progress: report(number, part)  # noqa: E731
        result, counted = matmul(
            device,
            x,
            weights,
            bias=layer.bias,
            scale=layer.scale,
            relu=layer.relu,
            output=output,
            on_progress=progress,
        )
        stats.append(counted)
        return result

    return product


def golden(config) -> Callable:
    """Layers by the golden model."""

    def product(x, layer: PackedLayer, output: OutputFormat, number: int) -> np.ndarray:
        weights = layer.weights
        sums = dot.exact_matmul(weights.format, to_raw(x, weights.format), weights.unpack())
        s = settings_of(config, weights.shape[1], layer.bias, layer.scale, weights.scale)
        bias, scale, exponent = (np.array(v, object) for v in (s.bias, s.scale, s.exponent))
        done = epilogue.finish(sums, bias, scale, exponent, layer.relu, output)
        return done.raw.view(VALUES[output])

    return product


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest score is the label's."""
    return float(np.mean(np.argmax(scores, axis=1) == labels))
