"""Pins and the oscillator's frequency, as the place-and-route tools want them told.

`lpf` is read by nextpnr-ecp5, `pcf` by nextpnr-ice40, `cst` by nextpnr-himbaechel-gowin.
"""

from .boards import Board
from .pins import clock_hz, pins


def lpf(board: Board) -> str:
    """Lattice's preference file."""
    lines = []
    for port, pin in pins(board).items():
        lines.append(f'LOCATE COMP "{port}" SITE "{pin.site}";')
        lines.append(f'IOBUF PORT "{port}" {_values(pin.attributes)};')
    lines.append(f'FREQUENCY PORT "clk" {clock_hz(board) / 1e6:g} MHZ;')
    return "\n".join([*lines, ""])


def pcf(board: Board) -> str:
    """A physical constraints file. All iCE40 pins are 3.3 V CMOS, so only pull-ups are told."""
    lines = []
    for port, pin in pins(board).items():
        pull_up = "-pullup yes " if pin.attributes.get("PULLUP") else ""
        lines.append(f"set_io {pull_up}{port} {pin.site}")
    lines.append(f"set_frequency clk {clock_hz(board) / 1e6:g}")
    return "\n".join([*lines, ""])


def cst(board: Board) -> str:
    """Gowin's constraints file. It has no frequencies: nextpnr's `--freq` holds for every clock."""
    lines = []
    for port, pin in pins(board).items():
        lines.append(f'IO_LOC "{port}" {pin.site};')
        lines.append(f'IO_PORT "{port}" {_values(pin.attributes)};')
    return "\n".join([*lines, ""])


def _values(attributes: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in attributes.items())
