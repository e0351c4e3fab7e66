"""A packed network to begin a training with."""

import numpy as np

from ..compiler.packing import to_dense
from ..errors import FormatError
from .layers import Layer
from .network import Network


def layers_of(network: Network) -> list[Layer]:
    """Its layers with FP32 masters; N is what they keep of a group at most.

    Raises `FormatError` for a network of integers: what they stand for has scales.
    """
    if not network.format.is_float:
        raise FormatError(
            f"a training cannot begin with a network of {network.format.name}: name one of floats"
        )
    return [
        Layer(
            to_dense(layer.weights).astype(np.float32),
            np.asarray(layer.bias, np.float32).copy(),
            max(1, int(layer.weights.counts.max(initial=1))),
            layer.weights.group,
            layer.stage,
        )
        for layer in network.layers
    ]


def shape_of(network: Network) -> dict:
    """Fields of the recipe (`trainer.Recipe`) of networks like this one."""
    widths = [layer.weights.shape[1] for layer in network.layers]
    if network.plain:
        return {"architecture": "mlp", "hidden": tuple(widths[:-1])}
    if len(widths) != 5 or widths[1] != widths[2]:
        raise FormatError(
            f"a network of convolutions of {widths} channels is not one that heddle train makes"
        )
    return {"architecture": "cnn", "channels": (widths[0], widths[1], widths[3])}
