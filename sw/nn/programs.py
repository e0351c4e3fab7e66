"""Networks as programs: all layers on the device, an input in and an output out."""

from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ..compiler.elements import Raw, to_raw
from ..compiler.external import ExternalTensor
from ..compiler.packing import PackedWeights, pack, to_dense
from ..compiler.pooling_programs import max_pool
from ..compiler.program import Builder, Program
from ..compiler.scaling import divided
from ..compiler.settings import settings_of
from ..compiler.tensors import Tensor
from ..compiler.walks import Images, Kernel
from ..compiler.windows import Windows
from ..errors import FormatError
from ..host import programs
from ..host.device import Device
from .network import HIDDEN, Network

POOLED_TOGETHER = 16
"""Rows that are pooled by one program of the vector unit, about: it begins when those have been
stored."""


@dataclass(frozen=True)
class NetworkProgram:
    """A network, or some of its layers, for a number of rows or images, as a program."""

    network: Network
    program: Program
    abreast: int
    """Images whose pixels take turns in all tensors of tensor memory (`walks.Images`)."""
    entries: tuple[Tensor | ExternalTensor, ...]
    """What it takes: the input of its first layer, and what others add that is not its own."""
    result: Tensor | ExternalTensor
    """On a device with external memory the network's own input and output lie there as they are,
    packed."""

    def load(self, device: Device) -> None:
        """Put the weights into the device's tensor memory: once, for any number of runs."""
        programs.load(device, self.program)

    def run(self, device: Device, x: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """The last layer's results for `x` [rows, inputs], float32, and what the device counted."""
        result, counters = self.run_raw(device, self.raw(x))
        return result.view("<f4"), counters

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Rows of the first entry, raw elements [rows, columns], of `x` [images, inputs]."""
        network = self.network
        numbers = divided(x, network.step, network.format)
        entry = self.entries[0]
        raw = to_raw(numbers, network.format)
        abreast = 1 if isinstance(entry, ExternalTensor) else self.abreast
        blocks = raw.reshape(len(raw) // abreast, abreast, entry.rows // len(raw), -1)
        raw = blocks.swapaxes(1, 2).reshape(entry.rows, -1)
        return np.pad(raw, ((0, 0), (0, entry.columns - raw.shape[1])))

    def run_raw(self, device: Device, *entries: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """The same of raw elements [rows, columns] for each of `entries`, and as such.

        Raises `DeviceError` if external memory fails.
        """
        with device.turn():
            if any(isinstance(tensor, ExternalTensor) for tensor in self.entries):
                device.clear()
            for tensor, raw in zip(self.entries, entries, strict=True):
                outside = isinstance(tensor, ExternalTensor)
                device.write_memory(tensor.address, tensor.to_words(raw), external=outside)
            programs.check_external(device)
            counters = programs.run(device, self.program)
            result, outside = self.result, isinstance(self.result, ExternalTensor)
            words = device.read_memory(result.address, result.words, external=outside)
            programs.check_external(device)
        return result.from_words(words), counters


def compiled(
    network: Network,
    config: Config,
    rows: int,
    dense: bool = False,
    layers: range | None = None,
    pooling: bool = True,
    channels: int | None = None,
) -> NetworkProgram:
    """A network for `rows` rows or images at a time, or some `layers` of it.

    Its input has `channels`, or as many as it has weights for, with those that fill a group.
    `dense` multiplies by every weight, zeros included; without `pooling` the last layer's result is
    not pooled. Raises `FormatError` if it is not for this configuration, or does not fit into its
    memory.
    """
    network.check_fits(config)
    layers = layers or range(len(network.layers))
    builder = Builder(config)
    made = _Layers(network, builder, rows, dense)
    made.enter(layers, channels)
    for number in layers:
        made.layer(number, pooling or number < layers[-1])
        made.forget(number, layers)
    result = made.results[layers[-1]]
    if config.external_bits and layers.stop == len(network.layers):
        inside, result = result, builder.external(result.rows, result.columns, result.bits, True)
        builder.copy(inside, result)
    entries = tuple(made.entries.values())
    return NetworkProgram(network, builder.program(), made.abreast, entries, result)


class _Layers:
    """Puts layers into a builder, and keeps their results as long as another one takes them."""

    def __init__(self, network: Network, builder: Builder, count: int, dense: bool):
        self.network, self.builder = network, builder
        self.count, self.dense = count, dense
        # As many images as there are lanes, so that no stride costs a cycle.
        self.abreast = gcd(count, builder.config.lanes)
        if builder.config.external_bits and self.abreast < builder.config.lanes:
            self.abreast = 1  # a COPY lays out as many as there are lanes, or one
        self.results: dict[int, Tensor] = {}
        """By the layer's number; -1 is the input."""
        self.entries: dict[int, Tensor | ExternalTensor] = {}
        self._windows: Windows | None = None
        """That the input has been laid out as, if it has."""

    def enter(self, layers: range, channels: int | None) -> None:
        """Tensors for what the layers take that none of them makes."""
        first = self.network.layers[layers.start]
        stage = first.stage
        if layers.start:
            channels = self.network.layers[layers.start - 1].weights.shape[1]
        channels = channels or first.weights.shape[0] // prod(stage.kernel.size)
        rows = self.count * stage.height * stage.width
        if layers.start or not self.builder.config.external_bits:
            self.results[layers.start - 1] = self.builder.tensor(rows, channels)
            self.entries[layers.start - 1] = self.results[layers.start - 1]
        else:
            self._bring(rows, channels)
        for number in layers:
            layer = self.network.layers[number]
            for taken in self.network.takes(number)[1:]:
                if taken not in (*layers, *self.entries):
                    height, width = layer.stage.out
                    rows = self.count * height * width
                    self.results[taken] = self.builder.tensor(rows, layer.weights.shape[1])
                    self.entries[taken] = self.results[taken]

    def _bring(self, rows: int, channels: int) -> None:
        """The network's input from external memory: pixel by pixel, with zeros to whole groups, or
        laid out as windows where these are fewer groups."""
        builder, stage = self.builder, self.network.layers[0].stage
        given = builder.external(rows, channels, packed=True)
        self.entries[-1] = given
        shape = builder.config, self.count, stage.height, stage.width, channels
        windows = Windows(*shape, stage.kernel, self.abreast)
        added = any(layer.stage.add == -1 for layer in self.network.layers)
        if windows.saves and not added:
            self._windows = windows
            self.results[-1] = builder.windows(given, windows).tensor
        elif stage.height * stage.width > 1:
            pixels = Windows(*shape, Kernel((1, 1)), self.abreast)
            self.results[-1] = builder.windows(given, pixels).tensor
        else:
            self.results[-1] = builder.tensor(rows, channels)
            builder.copy(given, self.results[-1])

    def layer(self, number: int, pooling: bool) -> None:
        """One layer, its result pooled if it is to be."""
        layer, builder, config = self.network.layers[number], self.builder, self.builder.config
        last = number == len(self.network.layers) - 1
        output = OutputFormat.FP32 if last else HIDDEN[self.network.format]
        stage = layer.stage
        weights, images, kernel = self._taken(number)
        if self.dense:
            every = to_dense(weights)
            weights = pack(every, weights.format, config.group, config.group, config.group)
        settings = settings_of(config, weights.shape[1], layer.bias, layer.scale, weights.scale)
        x = self.results[number - 1]
        rows = self.count * stage.out[0] * stage.out[1]
        # Weights lie in the upper half; only what is pooled while rows are read is better there.
        pools = stage.pool > 1 and pooling
        y = builder.tensor(rows, weights.shape[1], output.result_bits, x if pools else None)
        if stage.plain:
            builder.product(x, weights, settings, layer.relu, output, y)
        else:
            if stage.add is not None and np.any(np.asarray(layer.scale) != 1):
                raise FormatError(f"layer {number} adds another one's result and has a scale")
            added = None if stage.add is None else self.results[stage.add]
            builder.convolution(
                images,
                kernel,
                weights,
                settings,
                layer.relu,
                output,
                images.made(y, kernel),
                added and images.made(added, kernel),
            )
        if pools:
            y = self._pooled(y, number)
        self.results[number] = y

    def _taken(self, number: int) -> tuple[PackedWeights, Images, Kernel]:
        """A layer's weights, the images that it takes and the kernel that goes over them."""
        layer, x = self.network.layers[number], self.results[number - 1]
        weights, stage = layer.weights, layer.stage
        if number or self._windows is None:
            images = Images(x, stage.height, stage.width, self.abreast)
            return weights, images, stage.kernel
        windows = self._windows
        lines = pack(Raw(windows.weights(weights.unpack())), weights.format)
        lines = replace(lines, scale=weights.scale)
        images = Images(x, stage.height, windows.out_width, self.abreast)
        return lines, images, windows.rest

    def _pooled(self, full: Tensor, number: int) -> Tensor:
        """A layer's result, pooled some lines at a time: that overlaps with what makes it."""
        stage, builder = self.network.layers[number].stage, self.builder
        size, width = stage.pool, stage.out[1]
        y = builder.tensor(full.rows // size**2, full.columns, full.bits, apart=full)
        # Each `size` lines of the images abreast are images of their own.
        each = size * width * self.abreast
        together = max(1, POOLED_TOGETHER // each)
        while (together * each // size**2) % builder.config.lanes:
            together += 1  # a part begins in lane 0
        for first in range(0, full.rows, together * each):
            part = full.part(first, min(together * each, full.rows - first))
            pooled = y.part(first // size**2, part.rows // size**2)
            builder.vector(max_pool(part, pooled, (size, width), (size, size), size, self.abreast))
        builder.free(full)
        return y

    def forget(self, number: int, layers: range) -> None:
        """Give back the results that no later layer takes."""
        later = range(number + 1, layers.stop)
        needed = {taken for n in later for taken in self.network.takes(n)}
        for made in [m for m in self.results if m not in needed and m not in self.entries]:
            if made != layers[-1]:
                self.builder.free(self.results.pop(made))
