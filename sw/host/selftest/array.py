"""Tests of the array: its buffers, decoders, elements and outputs."""

from collections.abc import Callable

import numpy as np

from ....hw.formats import ROUNDED, OutputFormat
from ....hw.isa.codes import Flag, Target
from ....hw.isa.commands import Load
from ....hw.isa.host_stream import elements_payload, packet_of
from ....sim.golden import numbers
from ...compiler import nm
from ...compiler.elements import Raw
from ..device import Device
from .checks import Failure, compare, packed, product, same


def pages(target: Target) -> Callable[[Device], str]:
    """Both pages of a buffer, first to last word, by products whose panels fill them."""

    def test(device: Device) -> str:
        config = device.config
        rng = np.random.default_rng(target)
        if target is Target.ACTIVATIONS:
            shape = (3 * config.rows, config.group * config.activation_groups, 1)
        elif target is Target.SCHEDULE:
            shape = (2, config.group * 2 * config.schedule_records, 1)
        else:
            shape = (2, config.weight_slots // config.interleave * 2, config.tile_columns)
        # Activations need few weights; the others every one.
        dense = target in (Target.INDICES, Target.VALUES)
        return product(device, rng, shape, config.group if dense else 1)

    return test


def decoder(device: Device) -> str:
    """One weight a group, at each index in turn, in each column."""
    config = device.config
    rng = np.random.default_rng(5)
    inner = config.group * config.group
    w = np.zeros((inner, config.tile_columns))
    for column in range(config.tile_columns):
        for group in range(config.group):
            w[group * config.group + (group + column) % config.group, column] = 1 + group % 3
    x = rng.integers(-9, 10, (config.rows, inner)).astype(float)
    compare(device, x, packed(device, w, 1))
    return f"indices 0 to {config.group - 1} in {config.columns} columns"


def counts(device: Device) -> str:
    config = device.config
    for n in range(1, config.group + 1):
        shape = (config.rows, 2 * config.group, config.tile_columns)
        product(device, np.random.default_rng(n), shape, n)
    return f"N from 1 to {config.group}"


def skips(device: Device) -> str:
    """Groups without weights: first, last, between, and more in a row than a record can skip."""
    config = device.config
    groups = min(40, 2 * config.activation_groups)
    rng = np.random.default_rng(6)
    w = np.zeros((groups * config.group, config.tile_columns))
    for group in (1, 3, 4, groups - 2):
        w[group * config.group + group % config.group] = 1 + np.arange(config.tile_columns) % 9
    x = rng.integers(-9, 10, (config.rows, len(w))).astype(float)
    compare(device, x, packed(device, w, None))
    return f"4 of {groups} groups have weights"


def elements(device: Device) -> str:
    """Every element at its own: random values over the whole range of the format."""
    config = device.config
    rng = np.random.default_rng(7)
    shape = (config.tile_rows, 4 * config.group)
    weights = np.rint(rng.standard_normal((shape[1], config.tile_columns)) * 9)
    dtype = numbers.raw_dtype(config.format)
    x = rng.integers(0, 1 << config.format.bits, shape).astype(dtype)
    x[~numbers.is_finite(config.format, x)] = 0
    compare(device, Raw(x), packed(device, nm.prune(weights, 2, config.group), 2))
    return f"{config.rows} x {config.columns} elements"


def epilogue(device: Device) -> str:
    config = device.config
    rng = np.random.default_rng(8)
    outputs = config.tile_columns + 1
    for output in ROUNDED:
        for relu in (False, True):
            options = {
                "bias": rng.standard_normal(outputs),
                "scale": rng.random(outputs) * 4.0 ** rng.integers(-3, 3, outputs),
                "relu": relu,
                "output": output,
            }
            product(device, rng, (config.rows + 1, 2 * config.group, outputs), 2, **options)
    return "three formats, with and without ReLU; bias and scale of each column"


def flags(device: Device) -> str:
    """Raise each flag that the format knows, and clear it."""
    config = device.config
    x = np.full((1, config.group), 100.0)
    weights = packed(device, np.full((config.group, 1), 100.0), None)
    seen = set()
    for output, scale in ((OutputFormat.INT8, 1.0), (OutputFormat.FP16, 2.0**20)):
        device.clear()
        same("flags after they were cleared", device.flags(), set())
        compare(device, x, weights, output=output, scale=scale)
        seen |= device.flags()
    if len(seen) < 2:
        raise Failure(f"flags {sorted(f.name for f in seen)}: overflow or saturation is missing")
    codes = np.arange(1 << config.format.bits).astype(numbers.raw_dtype(config.format))
    bad = codes[~numbers.is_finite(config.format, codes)]
    if len(bad):
        for target, flag, count in (
            (Target.ACTIVATIONS, Flag.NONFINITE_ACTIVATION, config.rows * config.group),
            (Target.VALUES, Flag.NONFINITE_WEIGHT, config.columns),
        ):
            device.clear()
            payload = elements_payload(config, np.resize(bad, count))
            device.transport.exchange([packet_of(config, Load(target, 0, 1), payload)])
            same("flags after a NaN was loaded", device.flags(), {flag})
            seen.add(flag)
    return ", ".join(sorted(flag.name.lower() for flag in seen))


def drain(device: Device) -> str:
    """Tiles as short as can be, one after another: each waits for the drain chain."""
    config = device.config
    shape = (config.rows * 4, config.group, config.tile_columns * 3)
    return product(device, np.random.default_rng(9), shape, 1)
