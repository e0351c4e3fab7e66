"""What a unit's test fails with, and products that are compared with the golden model's."""

import warnings

import numpy as np

from ....sim.golden import numbers
from ....sim.golden.device import ModelTransport
from ...compiler import nm, packing
from ...compiler.elements import Raw
from ...compiler.scaling import fitted
from ...errors import PrecisionWarning
from .. import driver
from ..device import Device


class Failure(Exception):
    """A unit did something else than the golden model."""


def same(what: str, got, want) -> None:
    """Raises `Failure` if they differ."""
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def product(device: Device, rng, shape, n: int, **options) -> str:
    """Compare a product of random values, N of each M kept. Raises `Failure`."""
    rows, inner, outputs = shape
    x, w = rng.standard_normal((rows, inner)), rng.standard_normal((inner, outputs))
    if not device.config.format.is_float:
        x, w = (v * numbers.largest_value(device.config.format) / 3 for v in (x, w))
    w = nm.prune(w, n, device.config.group)
    compare(device, x, packed(device, w, n), **options)
    return f"product {rows} x {inner} x {outputs}, {n}:{device.config.group}"


def packed(device: Device, w: np.ndarray, n: int | None) -> packing.PackedWeights:
    """Weights in the device's format, brought into its range."""
    config = device.config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # any bits will do
        return packing.pack(fitted(w, config.format), config.format, n, config.group, config.group)


def compare(device: Device, x, weights, **options) -> None:
    """The product on the device and by the golden model, all bits. Raises `Failure`."""
    reference = Device(ModelTransport(device.config), device.config.name)
    options = {"raw": True} | options
    x = x if isinstance(x, Raw) else fitted(x, device.config.format)
    got, _ = driver.matmul(device, x, weights, **options)
    want, _ = driver.matmul(reference, x, weights, **options)
    differ = got != want
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise Failure(
            f"{int(differ.sum())} of {got.size} outputs differ, the first in row {row}, "
            f"column {column} (array row {row % device.config.rows}, "
            f"column {column % device.config.columns})"
        )
