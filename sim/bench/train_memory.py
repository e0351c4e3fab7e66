"""Tensor memory that a training step takes: dense, sparse, with all weights or kept ones alone."""

from collections.abc import Iterator

from ...hw.config import trainer
from ...sw.nn import steps
from .named import cost, wanted
from .train import NETWORKS, NUMBERS, begun, used_of

RECIPES = {
    "dense": (8, False),
    "4of8": (4, False),
    "2of8": (2, False),
    "kept.4of8": (4, True),
    "kept.2of8": (2, True),
}
"""Of every 8 weights so many, and whether there are no others."""


def rows(only: str) -> Iterator[dict]:
    config = trainer("small")
    width = config.stream_bytes
    for name, (batch, layers) in NETWORKS.items():
        if not wanted(f"train.memory.{name}", only):
            continue
        dense = 0
        for recipe, (kept, frozen) in RECIPES.items():
            masters, each, *_ = begun(batch, layers, kept)
            used = used_of(masters, each, frozen)
            made = steps.compiled(config, batch, masters, used, NUMBERS)
            held = width * sum(tensor.words for layer in made.layers for tensor in layer.tensors)
            compact = width * sum(pruning.space for pruning in made.prunings.values())
            total = width * made.words
            dense = dense or total
            note = (
                f"{total / dense:.2f} of dense; masters and momentum {held:,}, weights as they "
                f"are multiplied by {compact:,}, the rest values, gradients and constants"
            )
            yield cost(f"train.memory.{name}.{recipe}.bytes", total, "bytes", None, note)
