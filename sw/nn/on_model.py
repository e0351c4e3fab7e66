"""A training whose steps the host does in a device's arithmetic: the same bits as a device that
trains, by every recipe, and as fast as large products are."""

import numpy as np

from . import exact, loss_scale
from .exact import Master
from .recipes import Moment
from .trainer import Training

NOWHERE = np.zeros(0, np.float32)
"""For what the optimisers hold."""


class OnModel:
    """Does the steps of `training`, as a device with groups of `group`. What overflows is as with
    `OnDevice`, and so are batches."""

    def __init__(self, training: Training, group: int = exact.GROUP):
        training.whole_batches = True
        training.learner = self
        self.training, self._group = training, group
        self._masters = [
            Master(layer.weights, layer.bias, NOWHERE, NOWHERE, layer.stage)
            for layer in training.layers
        ]

    def learn(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """A step on images and labels; returns the mean loss before it.

        Raises `FormatError` as `loss_scale.counted` and `exact.images_of`.
        """
        training, layers = self.training, self.training.layers
        moment = Moment(training.step, training.steps)
        pruned = [layer.rule.prune(layer.weights, moment) for layer in layers]
        with np.errstate(over="ignore"):
            used = [(p.forward.astype("f2"), p.backward.astype("f2")) for p in pruned]
        made = exact.gradients(
            *(self._masters, used, exact.images_of(x, layers[0].stage)),
            exact.targets_of(y, layers[-1].weights.shape[1], self._group),
            training.scale,
            lambda layer, dy: layers[layer].rule.errors(dy),
            lambda layer, dy: layers[layer].rule.samples(dy, moment),
            training.recipe.frozen,
            self._group,
        )
        loss_scale.counted(training, made.layers is not None)
        if made.layers is None:
            return float("nan")
        self._update(made.layers, pruned, moment, rate)
        return float(made.losses.mean())

    def settle(self) -> None:
        """The layers are where they are."""

    def _update(self, gradients, pruned, moment: Moment, rate: float) -> None:
        training, decay = self.training, np.float32(self.training.recipe.decay)
        trained = slice(training.recipe.frozen, None)
        lists = training.layers[trained], training.learning[trained], gradients, pruned[trained]
        each = zip(*lists, strict=True)
        for layer, learns, (dw, db), used in each:
            dw = layer.rule.gradient(dw + layer.weights * decay, layer.weights, used)
            learns.weights.update(layer.weights, dw, rate)
            # As the device has it, where biases decay by nothing.
            learns.bias.update(layer.bias, db + layer.bias * np.float32(0), rate)
            layer.rule.updated(learns.weights, moment)
            learns.saw(used.mask)
