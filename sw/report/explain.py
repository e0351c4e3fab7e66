"""Where a product's cycles went, in words, and which setting would change the largest part."""

from dataclasses import asdict, dataclass

import numpy as np

from ...hw.config import Config
from ..compiler.packing import PackedWeights, pack
from ..host.causes import CAUSES, uneven
from ..host.device import Device
from ..host.driver import Stats, matmul

SHORT: dict[str, str] = dict(zip(CAUSES, CAUSES, strict=True)) | {
    "columns_uneven": "uneven",
    "rows_idle": "rows",
    "columns_idle": "columns",
}
"""Causes by shorter names, for the heads of a table."""


@dataclass(frozen=True)
class Explanation:
    """A product, where its cycles went, and what would change the largest part but work."""

    name: str
    shape: tuple[int, int, int]
    """B, K, C."""
    pattern: str
    cycles: int
    utilisation: float
    causes: dict[str, int]
    """Cycles by cause (`sw.host.causes.CAUSES`), together `cycles`; none without counters."""
    largest: str
    setting: str
    """A field of `Config` with a better value, or what of the product to change."""
    advice: str

    def plain(self) -> dict:
        """As plain values for JSON."""
        return asdict(self)


def explain(
    device: Device, x: np.ndarray, weights: PackedWeights | np.ndarray, name="product", **options
) -> Explanation:
    """Do ``x @ weights`` on `device` and say where its cycles went.

    `options` are those of `sw.host.driver.matmul`, as are the errors raised.
    """
    config = device.config
    if not isinstance(weights, PackedWeights):
        weights = pack(weights, config.format, config.group, config.group, config.group)
    _, stats = matmul(device, x, weights, **options)
    return of_stats(config, weights, stats, name)


def of_stats(config: Config, weights: PackedWeights, stats: Stats, name: str) -> Explanation:
    """The explanation of a product that has been done."""
    pattern = "any" if weights.pattern is None else "{}:{}".format(*weights.pattern)
    others = {cause: stats.causes[cause] for cause in CAUSES if cause in stats.causes}
    others.pop("work", None)
    largest = max(others, key=others.__getitem__, default="")
    setting, advice = "", ""
    if largest and others[largest]:
        setting, advice = _advice(config, weights, stats, largest)
    return Explanation(
        name,
        stats.shape,
        pattern,
        stats.cycles,
        stats.utilisation,
        stats.causes,
        largest,
        setting,
        advice,
    )


def _power(least: int) -> int:
    """The least power of two that is no less."""
    return 1 << max(0, least - 1).bit_length()


def _part(size: int, whole: int) -> int:
    """The largest part of `whole` that divides `size`, or all but divides it."""
    return max(range(1, whole + 1), key=lambda n: (size / (-(-size // n) * n), n))


def _advice(config: Config, weights: PackedWeights, stats: Stats, cause: str) -> tuple[str, str]:
    """What to set, and why."""
    rows, inner, outputs = stats.shape
    groups = len(weights.counts)
    most, mean = uneven(weights, config)
    tile = config.tile_rows * config.columns_per_epilogue
    match cause:
        case "columns_uneven":
            kept = (
                f"a group's fullest column keeps {most:.2f} of {config.group}, the mean {mean:.2f}"
            )
            return "pattern N:M", f"{kept}; with N:M all keep as many"
        case "rows_idle":
            least = _part(rows, config.rows)
            return f"rows = {least}", f"{rows} rows do not fill blocks of {config.rows}"
        case "columns_idle":
            least = _part(outputs, config.columns)
            return (
                f"columns = {least}",
                f"{outputs} outputs do not fill blocks of {config.tile_columns}",
            )
        case "drain":
            return (
                f"rows = {max(1, config.rows // 2)}",
                f"a tile's sums need {config.tile_rows} cycles to drain, its weights "
                f"{most * groups * config.interleave:.0f} to pass: a longer K or fewer rows",
            )
        case "output":
            if config.columns_per_epilogue > 1:
                return (
                    f"columns_per_epilogue = {config.columns_per_epilogue // 2}",
                    f"{config.columns_per_epilogue} columns share an epilogue: a tile's results "
                    f"take {tile} cycles",
                )
            return f"lanes = {2 * config.lanes}", "results need a wider stream, or fewer bytes each"
        case "settings":
            blocks = -(-outputs // config.tile_columns)
            return (
                f"settings_pages = {min(16, _power(blocks))}",
                f"{blocks} column blocks share {config.settings_pages} pages of settings",
            )
        case "pages":
            slots = round(most * groups * config.interleave)
            if slots > config.weight_slots:
                return (
                    f"weight_slots = {_power(slots)}",
                    f"a column block has {slots} slots, a page holds {config.weight_slots}",
                )
            needed = _power(groups * -(-rows // (2 * config.rows)))
            return (
                f"activation_groups = {needed}",
                f"{rows} rows of {inner} do not fit into two pages of {config.activation_groups} "
                "groups: operands are loaded again",
            )
        case "host":
            return (
                f"lanes = {2 * config.lanes}",
                "what comes through the stream is used fewer times than would hide it; a larger "
                "batch uses weights more often",
            )
        case _:
            return "a larger product", "filling and emptying the array happens once"
