"""Networks as programs: all layers on the device, an input in and an output out."""

from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ..compiler.elements import to_raw
from ..compiler.packing import pack, to_dense
from ..compiler.program import Builder, Program
from ..compiler.scaling import divided
from ..compiler.settings import settings_of
from ..compiler.tensors import Tensor
from ..host import programs
from ..host.device import Device
from .network import HIDDEN, Network


@dataclass(frozen=True)
class NetworkProgram:
    """A network for a number of rows, as a program."""

    network: Network
    program: Program
    layers: tuple[Tensor, ...]
    """The input, and each layer's result."""

    def load(self, device: Device) -> None:
        """Put the weights into the device's tensor memory: once, for any number of runs."""
        programs.load(device, self.program)

    def run(self, device: Device, x: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """The last layer's results for `x` [rows, inputs], float32, and what the device counted."""
        network, entry, result = self.network, self.layers[0], self.layers[-1]
        numbers = divided(x, network.step, network.format)
        device.write_memory(entry.address, entry.to_words(to_raw(numbers, network.format)))
        counters = programs.run(device, self.program)
        words = device.read_memory(result.address, result.words)
        return result.from_words(words).view("<f4"), counters


def compiled(network: Network, config: Config, rows: int, dense: bool = False) -> NetworkProgram:
    """A network for `rows` rows at a time; `dense` multiplies by every weight, zeros included.

    Raises `FormatError` if it is not for this configuration, or does not fit into its memory.
    """
    network.check_fits(config)
    builder = Builder(config)
    tensors = [builder.tensor(rows, network.layers[0].weights.shape[0])]
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        output = OutputFormat.FP32 if last else HIDDEN[network.format]
        weights = layer.weights
        if dense:
            every = to_dense(weights)
            weights = pack(every, network.format, config.group, config.group, config.group)
        settings = settings_of(config, weights.shape[1], layer.bias, layer.scale, weights.scale)
        result = builder.tensor(rows, weights.shape[1], 8 * output.bytes)
        builder.product(tensors[-1], weights, settings, layer.relu, output, result)
        tensors.append(result)
    return NetworkProgram(network, builder.program(), tuple(tensors))
