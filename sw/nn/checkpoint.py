"""A training in a file, from which it goes on with the same bits (docs/format.md has the file)."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from . import container
from .data import Dataset
from .layers import Layer
from .trainer import Recipe, Training

KIND = "training"
"""Of the notes' entry."""
LEARNER = ("whole_batches", "scale", "good", "skipped")
"""What a training notes of who does its steps, if that is not the host."""


def save(path: str | Path, training: Training) -> None:
    """Write `training` to `path`, settled: whole, or what was there stays.

    Raises `DataError` if the file cannot be written.
    """
    training.settle()
    arrays: dict[str, np.ndarray] = {
        "order": training.order,
        "losses": np.array(training.losses, np.float64),
        "curve": np.array(training.curve, np.float64).reshape(-1, 2),
    }
    for name, part in _parts(training):
        for attribute in part.STATE:
            if (value := getattr(part, attribute)) is not None:
                arrays[f"{name}.{attribute}"] = np.asarray(value)
    for i, (layer, learning) in enumerate(zip(training.layers, training.learning, strict=True)):
        arrays |= {f"{i}.weights": layer.weights, f"{i}.bias": layer.bias}
        arrays[f"{i}.churn"] = np.array(learning.churn, np.int64)
        if learning.mask is not None:
            arrays[f"{i}.mask"] = learning.mask
    notes = {
        "recipe": asdict(training.recipe),
        "data": training.data.fingerprint,
        "step": training.step,
        **{name: getattr(training, name) for name in LEARNER},
        "rng": training.rng.bit_generator.state,
    }
    container.save(path, {}, arrays, {KIND: notes})


def load(path: str | Path, data: Dataset, recipe: Recipe, start: Sequence[Layer] = ()) -> Training:
    """The training that was saved, with `data` and by `recipe`, and begun with the layers `start`.

    Raises `FormatError` for a file that is missing, damaged or of another kind, and for a training
    with other data or by another recipe.
    """
    _, arrays, notes = container.load(path)
    if not isinstance(known := notes.get(KIND), dict):
        raise FormatError(f"{path} holds no training; name another file, or remove it")
    differ = _differences(known.get("recipe"), recipe)
    if known.get("data") != data.fingerprint:
        differ.append("the data")
    if differ:
        raise FormatError(
            f"{path} is of another training ({', '.join(differ)}): train as that one did, or begin "
            "anew with --restart"
        )
    training = Training.begun(data, recipe, start)
    try:
        _restore(training, arrays, known)
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        raise FormatError(
            f"{path} does not fit what it says of itself ({reason!r}): begin anew with --restart"
        ) from None
    return training


def _differences(known: Any, recipe: Recipe) -> list[str]:
    """Fields of the recipe that are not as in a file; what diverges may go on at another rate."""
    wanted = asdict(recipe)
    if not isinstance(known, dict) or set(known) != set(wanted):
        return ["the recipe"]
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in wanted.items()}
    return [
        f"{name} {known[name]}, not {v}"
        for name, v in plain.items()
        if name != "rate" and known[name] != v
    ]


def _parts(training: Training) -> list[tuple[str, Any]]:
    """All that has a `STATE`, by the name that it has in a file."""
    parts: list[tuple[str, Any]] = []
    for i, (layer, learning) in enumerate(zip(training.layers, training.learning, strict=True)):
        parts += [(f"{i}.rule", layer.rule), (f"{i}.of_weights", learning.weights)]
        parts.append((f"{i}.of_bias", learning.bias))
    return parts


def _restore(training: Training, arrays: dict[str, np.ndarray], known: dict) -> None:
    for name in LEARNER:
        setattr(training, name, known.get(name, getattr(training, name)))
    training.step = int(known["step"])
    if not 0 <= training.step <= training.steps:
        raise ValueError(f"step {training.step} of {training.steps}")
    training.rng.bit_generator.state = known["rng"]
    training.order = arrays["order"]
    training.losses = arrays["losses"].tolist()
    training.curve = [(loss, accuracy) for loss, accuracy in arrays["curve"].tolist()]
    for name, part in _parts(training):
        for attribute in part.STATE:
            kept = arrays.get(f"{name}.{attribute}")  # what is not there was None
            if kept is not None:
                # Of Python's own numbers: NumPy's would make wider ones of what they meet.
                setattr(part, attribute, kept.copy() if kept.ndim else kept.item())
    for i, (layer, learning) in enumerate(zip(training.layers, training.learning, strict=True)):
        _fill(layer.weights, arrays[f"{i}.weights"])
        _fill(layer.bias, arrays[f"{i}.bias"])
        learning.churn = arrays[f"{i}.churn"].tolist()
        learning.mask = arrays.get(f"{i}.mask")


def _fill(values: np.ndarray, kept: np.ndarray) -> None:
    if (values.shape, values.dtype) != (kept.shape, kept.dtype):
        raise ValueError(f"{kept.dtype} {kept.shape} where {values.dtype} {values.shape} are")
    values[...] = kept
