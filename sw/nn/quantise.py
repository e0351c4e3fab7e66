"""From a trained perceptron to an INT8 network: quantised after training, by output channel.

Symmetric (`sw.compiler.scaling`): an element stands for its integer times a step.
The activations of a layer share a step, weights have one for each output channel, so a sum is in
units of their product. The bias is an integer in that unit; the scale takes the sum to the next
layer's step, in the epilogue's one rounding.
"""

import numpy as np

from ...hw.formats import INT8
from ..compiler.packing import pack
from ..compiler.scaling import divided, step
from .data import Dataset
from .layers import Layer
from .network import Network, PackedLayer


def quantise_network(layers: list[Layer], data: Dataset, notes: dict | None = None) -> Network:
    """INT8 of trained `layers`; the activations' steps are those that the training images need."""
    value = data.train_x
    steps = [step(np.abs(value).max(), INT8)]
    for layer in layers[:-1]:
        value = np.maximum(value @ layer.used() + layer.bias, 0)
        steps.append(step(value.max(), INT8))
    packed = []
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1
        weights = layer.used().astype(np.float64)
        by_channel = step(np.abs(weights).max(axis=0), INT8)
        unit = steps[i] * by_channel
        packed.append(
            PackedLayer(
                pack(divided(weights, by_channel, INT8), INT8, layer.n, layer.m),
                np.rint(layer.bias / unit),
                relu=not last,
                scale=unit if last else unit / steps[i + 1],
            )
        )
    return Network(packed, data.name, notes or {}, float(steps[0]))
