"""Matrix products of any shape on a device: what goes in is checked, what comes out is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ...hw.config import Config
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.isa.codes import Flag
from ..compiler.bounds import check_sums
from ..compiler.elements import to_raw
from ..compiler.packing import PackedWeights, pack
from ..compiler.plan import Plan
from ..compiler.settings import settings_of
from ..errors import DeviceError, FormatError
from . import causes
from .answers import answer_of, in_shares
from .memory import Holder


class Multiplier(Holder, Protocol):
    """What a product needs of a device (`device.Device`)."""

    def clear(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def flags(self) -> set[Flag]: ...


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
    causes: dict[str, int] = field(default_factory=dict)
    """Cycles by cause (`causes.CAUSES`), together `cycles`; none if the device does not count."""

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


VALUES = {OutputFormat.FP32: "<f4", OutputFormat.FP16: "<f2", OutputFormat.INT8: "i1"}
"""NumPy's types of outputs as numbers."""


def matmul(
    device: Multiplier,
    x: Any,
    weights: Any,
    *,
    bias: Any = None,
    scale: Any = None,
    relu: bool = False,
    output: OutputFormat | str = OutputFormat.FP32,
    raw: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, Stats]:
    """``round(relu?((x @ weights + bias) * scale))`` for x [B, K], weights [K, C].

    `x` is numbers, as elements of the device's format (see `elements`), or `Raw` elements; a plain
    array of weights is run dense. `bias` and `scale` are one number or C; what the weights
    were scaled by is multiplied in. Returns [B, C] as float32, float16 or int8 by `output` ("fp32",
    "fp16", "int8"), or with `raw` their bits (uint32, uint16, uint8), and `Stats`.
    Nothing is padded along K beyond its last group; the last row and column blocks run whole.

    Raises `FormatError` for arrays that do not fit, and for sums that might not (`bounds`);
    `DeviceError` if the device refuses.
    """
    config, output = device.config, output_format(output)
    if not isinstance(weights, PackedWeights):
        weights = pack(weights, config.format, config.group, config.group, config.group)
    check_fits(weights, config)
    x = to_raw(x, config.format, "activations")
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] != weights.shape[0]:
        raise FormatError(
            f"activations must be [B, {weights.shape[0]}] to go with weights "
            f"{list(weights.shape)}, not {list(x.shape)}"
        )
    check_sums(config, x, weights)
    settings = settings_of(config, weights.shape[1], bias, scale, weights.scale)
    plan = Plan(config, x, weights, settings, bool(relu), output)
    packets, places = plan.packets()

    with device.turn():  # what the device counts is of this product alone
        device.clear()
        answers = device.transport.exchange(packets, in_shares(on_progress, len(packets)))
        counters, flags = device.counters(), device.flags()
    result = np.zeros((plan.row_blocks * config.rows, plan.padded_columns), f"u{output.bytes}")
    for packet, place, answer in zip(packets, places, answers, strict=True):
        response = answer_of(config, answer).check(packet)
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
        causes=causes.split(config, x.shape[0], weights, output, counters, plan.waits()),
    )
    if stats.flags & {Flag.NONFINITE_ACTIVATION, Flag.NONFINITE_WEIGHT}:
        raise DeviceError("the device saw an infinity or NaN that the host did not send")
    result = result[: x.shape[0], : weights.shape[1]]
    return result if raw else result.view(VALUES[output]), stats


def output_format(output: OutputFormat | str) -> OutputFormat:
    """The output format meant, by itself or by its name. Raises `FormatError` if there is none that
    a host can be answered with."""
    try:
        meant = OutputFormat[output.upper()] if isinstance(output, str) else OutputFormat(output)
    except (KeyError, ValueError):
        meant = None
    if meant not in ROUNDED:
        names = ", ".join(f.name.lower() for f in ROUNDED)
        raise FormatError(f"no output format {output!r}; there are {names}")
    return meant


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
