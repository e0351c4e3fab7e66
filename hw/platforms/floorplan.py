"""Where the multipliers of an array lie on the chip.

A placer that sees nets only scatters the multipliers of a large array over their few rows, and a
product then crosses the chip and comes back within a cycle. What is systolic has an order that
suits the chip: rows of processing elements lie in bands, columns from west to east.
"""

from ..config import Config, ConfigError

ECP5_85_BANDS = (10, 34, 58)
"""Y of the rows of multipliers in an LFE5U-85F (or UM, UM5G), as Project Trellis counts tiles."""
ECP5_85_SITES = tuple(
    (west + dx, dx) for west in (*range(4, 59, 9), *range(69, 115, 9)) for dx in (0, 1, 4, 5)
)
"""X and number of the multipliers in each of these rows, west to east."""


def ecp5_85(config: Config) -> dict[tuple[int, int], str]:
    """The multiplier of each processing element (row, column), as nextpnr names it.

    Raises `ConfigError` if the array has more processing elements than a band has multipliers.
    """
    deep = -(-config.rows // len(ECP5_85_BANDS))
    used = deep * config.columns
    if used > len(ECP5_85_SITES):
        raise ConfigError(
            f"{config.name}: {deep} x {config.columns} multipliers do not fit into a row of "
            f"{len(ECP5_85_SITES)}: fewer rows or columns"
        )
    places = {}
    for row in range(config.rows):
        band, depth = divmod(row, deep)
        # As a ploughman turns: the last row of a band lies beside the first one of the next.
        if band % 2:
            depth = deep - 1 - depth
        for column in range(config.columns):
            x, number = ECP5_85_SITES[(column * deep + depth) * len(ECP5_85_SITES) // used]
            places[row, column] = f"X{x}/Y{ECP5_85_BANDS[band]}/MULT18_{number}"
    return places
