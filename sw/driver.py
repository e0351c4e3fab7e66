"""Matrix products of any shape on a device: what goes in is checked, what comes out is counted."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..hw.commands import Flag, OutputFormat
from ..hw.config import Config
from . import protocol
from .device import Device
from .errors import DeviceError, FormatError
from .packing import PackedWeights, pack, to_raw
from .plan import Plan, Settings


@dataclass
class Stats:
    """What the device counted during one product, and what the product was."""

    shape: tuple[int, int, int]
    """B, K, C."""
    useful_macs: int
    """Multiplications by a kept weight, padding not counted."""
    array: int
    """Processing elements."""
    counters: dict[str, int] = field(default_factory=dict)
    flags: set[Flag] = field(default_factory=set)

    @property
    def cycles(self) -> int:
        """From the first issue to the last output, by the device's counter."""
        return self.counters["cycles"]

    @property
    def utilisation(self) -> float:
        """Useful multiplications for each multiplier and cycle, 0 to 1."""
        return self.useful_macs / (self.array * self.cycles) if self.cycles else 0.0

    @property
    def stalls(self) -> dict[str, int]:
        return {k[6:]: v for k, v in self.counters.items() if k.startswith("stall_")}


def settings(config: Config, channels: int, bias=None, scale=None) -> Settings:
    """Real bias (added to the sum) and scale (then multiplied) as integers.

    The scale keeps 16 significant bits; a bias is rounded to the sum's unit. Raises
    `FormatError` for a wrong length, a negative scale, or a bias that the sum cannot hold.
    """

    def spread(values, default: float, name: str) -> np.ndarray:
        values = np.asarray(default if values is None else values, np.float64)
        if values.ndim > 1 or (values.ndim == 1 and len(values) != channels):
            raise FormatError(f"{name}: one number or {channels}, not shape {values.shape}")
        if not np.isfinite(values).all():
            raise FormatError(f"{name} must be finite")
        return np.broadcast_to(values, channels)

    unit = config.format.product_unit_log2
    limit = 1 << (config.accumulator_bits - 1)
    biases, scales, exponents = [], [], []
    for offset, factor in zip(spread(bias, 0.0, "bias"), spread(scale, 1.0, "scale"), strict=True):
        integer = round(math.ldexp(offset, -unit)) if offset else 0
        if not -limit <= integer < limit:
            raise FormatError(f"a bias of {offset} does not fit into the accumulator")
        if factor < 0:
            raise FormatError(f"a scale cannot be negative ({factor}); negate the weights")
        mantissa, exponent = math.frexp(factor)
        multiplier = round(mantissa * (1 << 16))
        if multiplier == 1 << 16:
            multiplier, exponent = 1 << 15, exponent + 1
        biases.append(integer)
        scales.append(multiplier)
        exponents.append(exponent - 16 + unit)
    return Settings(biases, scales, exponents)


def matmul(
    device: Device,
    x: np.ndarray,
    weights: PackedWeights | np.ndarray,
    *,
    bias=None,
    scale=None,
    relu: bool = False,
    output: OutputFormat = OutputFormat.FP32,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, Stats]:
    """``round(relu?((x @ weights + bias) * scale))`` for x [B, K], weights [K, C].

    `x` is floats (rounded to the device's format) or raw elements; a plain array of weights is
    run dense. Returns raw outputs [B, C] (uint32, uint16 or uint8 by `output`) and `Stats`.
    Nothing is padded along K beyond its last group; the last row and column blocks run whole.

    Raises `FormatError` for arrays that do not fit, `DeviceError` if the device refuses.
    """
    config = device.config
    if not isinstance(weights, PackedWeights):
        weights = pack(weights, config.format, config.group, config.group, config.group)
    check_fits(weights, config)
    x = to_raw(x, config.format)
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] != weights.shape[0]:
        raise FormatError(
            f"activations must be [B, {weights.shape[0]}] to go with weights "
            f"{list(weights.shape)}, not {list(x.shape)}"
        )
    plan = Plan(config, x, weights, settings(config, weights.shape[1], bias, scale), relu, output)
    packets, places = plan.packets()

    progress = None
    if on_progress is not None:
        progress = lambda count: on_progress(count / len(packets))  # noqa: E731
    with device.turn():  # what the device counts is of this product alone
        device.clear()
        answers = device.transport.exchange(packets, progress)
        counters, flags = device.counters(), device.flags()
    result = np.zeros((plan.row_blocks * config.rows, plan.padded_columns), f"u{output.bytes}")
    for packet, place, answer in zip(packets, places, answers, strict=True):
        response = protocol.response(config, answer).check(packet)
        if place is not None:
            rows, columns = place
            tiles = response.outputs(config, output)
            result[rows, columns] = tiles.reshape(-1, config.tile_columns)

    stats = Stats(
        shape=(x.shape[0], x.shape[1], weights.shape[1]),
        useful_macs=len(weights.values) * x.shape[0],
        array=config.macs_per_cycle,
        counters=counters,
        flags=flags,
    )
    if stats.flags & {Flag.NONFINITE_ACTIVATION, Flag.NONFINITE_WEIGHT}:
        raise DeviceError("the device saw an infinity or NaN that the host did not send")
    return result[: x.shape[0], : weights.shape[1]], stats


def check_fits(weights: PackedWeights, config: Config) -> None:
    """Raise `FormatError` unless `config` can multiply by `weights`."""
    if weights.format != config.format:
        raise FormatError(
            f"the weights are {weights.format.name}, the device {config.name!r} multiplies "
            f"{config.format.name}: pack them again with that format, or take a device of "
            f"{weights.format.name}"
        )
    if weights.group != config.group:
        raise FormatError(
            f"the weights are in groups of {weights.group}, the device {config.name!r} has "
            f"groups of {config.group}: pack them again with that group, or take another device"
        )
