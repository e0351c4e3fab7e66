"""Where the multipliers of an array lie on the chip.

A placer that sees nets only scatters the multipliers of a large array over their few rows, and a
product then crosses the chip and comes back within a cycle. What is systolic has an order that
suits the chip: rows of processing elements lie in bands, columns from west to east, and an
epilogue's multipliers lie among the columns that share it.
"""

from collections.abc import Sequence

from ..config import Config, ConfigError
from ..output.epilogue import LIMB

ECP5_85_BANDS = (10, 34, 58)
"""Y of the rows of multipliers in an LFE5U-85F (or UM, UM5G), as Project Trellis counts tiles."""
ECP5_85_SITES = tuple(
    (west + dx, dx) for west in (*range(4, 59, 9), *range(69, 115, 9)) for dx in (0, 1, 4, 5)
)
"""X and number of the multipliers in each of these rows, west to east."""


def ecp5_85(config: Config) -> dict[str, Sequence[str]]:
    """The sites of the multipliers of each instance (``pe_<row>_<column>``, ``output_<group>``),
    as nextpnr names them.

    Raises `ConfigError` if an array is too large for the device.
    """
    bands = len(ECP5_85_BANDS)
    deep = -(-config.rows // bands)
    shared = config.columns_per_epilogue
    # The southern bands, where sums come out, hold the epilogues' multipliers.
    per_epilogue = -(-config.exact_bits // LIMB)
    per_band = -(-per_epilogue // (bands - 1))

    sites: dict[str, list[str]] = {}
    for band, y in reversed(list(enumerate(ECP5_85_BANDS))):
        rows = list(range(band * deep, min(config.rows, (band + 1) * deep)))
        # As a ploughman turns: the last row of a band lies beside the first one of the next.
        rows = rows[::-1] if band % 2 else rows
        tenants = []
        for column in range(config.columns):
            tenants += [f"pe_{row}_{column}" for row in rows]
            group, place = divmod(column, shared)
            if place == (shared - 1) // 2:
                tenants += [f"output_{group}"] * per_band
        if len(tenants) > len(ECP5_85_SITES):
            raise ConfigError(
                f"{config.name}: {len(tenants)} multipliers do not fit into a band of "
                f"{len(ECP5_85_SITES)}: fewer rows or columns"
            )
        for n, tenant in enumerate(tenants):
            x, number = ECP5_85_SITES[n * len(ECP5_85_SITES) // len(tenants)]
            sites.setdefault(tenant, []).append(f"X{x}/Y{y}/MULT18_{number}")
    return sites
