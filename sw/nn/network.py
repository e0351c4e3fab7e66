"""A packed network: layers of compact weights, run by whatever can multiply."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...hw.config import Config
from ...hw.formats import FP16, INT8, Format, OutputFormat
from ...sim.golden import fast
from ..compiler.elements import as_array, to_raw
from ..compiler.packing import PackedWeights, pack, to_dense
from ..compiler.scaling import divided
from ..compiler.settings import settings_of
from ..compiler.walks import as_matrix
from ..errors import FormatError
from ..host.device import Device
from ..host.driver import VALUES, Stats, check_fits, matmul
from ..lib.contents import Contents
from . import container, stages
from .layers import Layer
from .stages import Stage

SHIPPED = {
    FP16: Path(__file__).parent / "networks" / "digits-2of8.safetensors",
    INT8: Path(__file__).parent / "networks" / "digits-2of8-int8.safetensors",
}
"""The trained networks that ship with Heddle; `heddle train` makes them again."""
CONVOLUTIONS = Path(__file__).parent / "networks" / "digits-cnn-2of8.safetensors"
"""One more, of convolutions, in FP16: it runs as a program (`sw.nn.programs`)."""
DEFAULT = SHIPPED[FP16]
HIDDEN = {FP16: OutputFormat.FP16, INT8: OutputFormat.INT8}
"""How a hidden layer's results leave the device: as elements, the next layer's activations."""


@dataclass(frozen=True, eq=False)
class PackedLayer(Contents):
    """``relu?((rows @ weights + bias) * scale)``, bias and scale by output channel; `stage` says
    what the rows are, and what else is done."""

    weights: PackedWeights
    bias: np.ndarray
    relu: bool
    scale: np.ndarray | float = 1.0
    stage: Stage = Stage()


@dataclass(eq=False)
class Network(Contents):
    """A perceptron or a network of convolutions, layer by layer (`Stage`); activations between
    layers are in the weights' format. Two are equal if all that they hold is."""

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

    @property
    def plain(self) -> bool:
        """Every layer takes vectors, and does nothing but to multiply: a host can send them one by
        one. Others need a program."""
        return all(layer.stage.plain for layer in self.layers)

    def takes(self, number: int) -> list[int]:
        """Whose results a layer takes, by the numbers of layers, -1 being the input: those of the
        one before it, then what it adds if that is another one's."""
        added = self.layers[number].stage.add
        return [number - 1] if added in (None, number - 1) else [number - 1, added]

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
        if not self.plain and not config.tensor_words:
            raise FormatError(
                f"a network of convolutions runs as a program in tensor memory, of which "
                f"{config.name!r} has none: build a device with tensor_words"
            )

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
        if not self.plain:
            notes["stages"] = [layer.stage.to_notes() for layer in self.layers]
        if taken := sorted({"data", "relu", "step", "stages"} & self.notes.keys()):
            raise FormatError(f"notes of a network cannot be called {', '.join(taken)}")
        _check_chain(self.layers)
        container.save(path, matrices, arrays, notes | self.notes)

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "Network":
        """Raises `FormatError` if the file is no network (see also `container.load`)."""
        matrices, arrays, notes = container.load(path)
        data, relu, step = notes.pop("data", None), notes.pop("relu", None), notes.pop("step", 1.0)
        made = notes.pop("stages", None)
        for name, value, fits in (
            ("data", data, isinstance(data, str)),
            ("relu", relu, _is_relu(relu) and len(relu) == len(matrices) > 0),
            ("step", step, type(step) in (int, float) and 0 < step < sys.float_info.max),
            (
                "stages",
                made,
                made is None or (isinstance(made, list) and len(made) == len(matrices)),
            ),
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
                    Stage.from_notes(made[i]) if made else Stage(),
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
        INT8 network are rounded and clipped as its layers' results are. Raises `FormatError` for a
        network that needs a program (`sw.nn.programs`).
        """
        if not self.plain:
            raise FormatError("a network of convolutions runs as a program, not layer by layer")
        outputs = [divided(as_array(x, "activations"), self.step, self.format)]
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            output = OutputFormat.FP32 if last else HIDDEN[self.format]
            outputs.append(product(outputs[-1], layer, output, i))
        return outputs[1:]

    def float32(self, x: np.ndarray) -> np.ndarray:
        """Scores by plain float32 NumPy with the same weights."""
        values = [x.astype(np.float32) / np.float32(self.step)]
        for layer in self.layers:
            stage = layer.stage
            images = values[-1].reshape(len(x), stage.height, stage.width, -1)
            if not stage.plain:
                images = _whole_groups(images, layer.weights.group)
            taken = stages.rows(images, stage.kernel)
            value = (taken @ to_dense(layer.weights).astype(np.float32) + layer.bias) * layer.scale
            value = value.reshape(len(x), *stage.out, -1)
            if stage.add is not None:
                value = value + values[stage.add + 1]
            value = np.maximum(value, 0) if layer.relu else value
            values.append(stages.pooled(value, stage.pool))
        return values[-1].reshape(len(x), -1)


def _whole_groups(images: np.ndarray, group: int) -> np.ndarray:
    """Images whose channels are filled with zeros to a multiple of a group."""
    return np.pad(images, ((0, 0), (0, 0), (0, 0), (0, -images.shape[3] % group)))


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
        if i:
            _check_stage(i, layers)
        for name in ("bias", "scale"):
            value = np.asarray(getattr(layer, name))
            fits = value.shape in ((), (weights.shape[1],))
            if value.dtype.kind not in "fiu" or not fits or not np.isfinite(value).all():
                raise FormatError(
                    f"the {name} of layer {i} must be one finite number, or {weights.shape[1]}"
                )
            if name == "scale" and (value < 0).any():
                raise FormatError(f"a scale of layer {i} is negative")


def _check_stage(number: int, layers: list[PackedLayer]) -> None:
    """Raise `FormatError` unless a layer takes what the one before it gives, and adds what is of
    its own shape."""
    layer, before = layers[number], layers[number - 1]
    stage, channels = layer.stage, before.weights.shape[1]
    inputs = channels
    if not stage.plain:
        group = layer.weights.group
        inputs = stage.kernel.taps * -(-channels // group) * group
    if layer.weights.shape[0] != inputs:
        raise FormatError(
            f"layer {number} takes {layer.weights.shape[0]} inputs, but there are {inputs}"
        )
    if (stage.height, stage.width) != before.stage.pooled:
        raise FormatError(
            f"layer {number} takes images of {stage.height} x {stage.width} pixels, and is given "
            f"{' x '.join(map(str, before.stage.pooled))}"
        )
    if stage.add is not None:
        added = layers[stage.add] if 0 <= stage.add < number else None
        if not added or (added.stage.pooled, added.weights.shape[1]) != (
            stage.out,
            layer.weights.shape[1],
        ):
            raise FormatError(
                f"layer {number} cannot add the result of layer {stage.add}: it is not there yet, "
                "or of another shape"
            )


def named(path: Path) -> Path:
    """The file that is meant: of a network that ships its name is enough."""
    every = {shipped.stem: shipped for shipped in (*SHIPPED.values(), CONVOLUTIONS)}
    return path if path.exists() else every.get(str(path), path)


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
        PackedLayer(_packed(layer), layer.bias, relu=i < len(layers) - 1, stage=layer.stage)
        for i, layer in enumerate(layers)
    ]
    return Network(packed, data, notes or {})


def _packed(layer: Layer) -> PackedWeights:
    """A layer's weights in FP16, the channels of each tap in whole groups."""
    used, size = layer.used(), layer.stage.kernel.size
    filled = as_matrix(used.reshape(*size, -1, used.shape[1]), group=layer.m)
    if layer.stage.plain or len(filled) == len(used):
        return pack(used, FP16, layer.n, layer.m)
    return pack(filled, FP16)  # zeros that are kept would cost as much as weights


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
        weights, format = layer.weights, layer.weights.format
        s = settings_of(config, weights.shape[1], layer.bias, layer.scale, weights.scale)
        columns = s.bias, s.scale, s.exponent
        raw = to_raw(x, format), weights.unpack()
        return fast.rounded_matmul(format, *raw, *columns, layer.relu, output).raw.view(
            VALUES[output]
        )

    return product


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest score is the label's."""
    return float(np.mean(np.argmax(scores, axis=1) == labels))
