"""Boards whose FPGA needs its vendor's tools: Heddle writes the project, they build it."""

from dataclasses import dataclass
from enum import Enum

from ..config import PRESETS, Config, ConfigError
from ..formats import FP16


class System(Enum):
    """What is around the accelerator."""

    ZYNQ = "processing system"
    """A processor on the same chip, whose memory is shared."""
    PCIE = "PCI Express"
    """A host computer; the memory is on the card."""


@dataclass(frozen=True)
class Available:
    """What the device has. Source: AMD DS890 (UltraScale), DS190 (Zynq-7000)."""

    lut: int
    ff: int
    dsp: int
    ram: int
    """Block RAMs of 36 Kibit."""


@dataclass(frozen=True)
class VendorBoard:
    """A board, and the configuration that its project holds."""

    name: str
    title: str
    part: str
    family: str
    """As Yosys calls it: xc7, xcup."""
    system: System
    config: Config
    mhz: float
    """The clock that the project asks for; nothing has been placed and routed."""
    available: Available
    wires: str = ""
    """File in `constraints/` with the pins."""


VENDOR_BOARDS = {
    board.name: board
    for board in (
        VendorBoard(
            "vcu1525",
            "AMD VCU1525, XCVU9P",
            "xcvu9p-fsgd2104-2L-e",
            "xcup",
            System.PCIE,
            PRESETS["paper"],
            200,
            Available(1_182_240, 2_364_480, 6_840, 2_160),
            "vcu1525.xdc",
        ),
        VendorBoard(
            "pynq-z2",
            "TUL PYNQ-Z2, XC7Z020",
            "xc7z020clg400-1",
            "xc7",
            System.ZYNQ,
            Config("fp16_8x8", 8, 8, FP16, columns_per_epilogue=8),
            75,
            Available(53_200, 106_400, 220, 140),
        ),
    )
}


def vendor_board(name: str) -> VendorBoard:
    """The board called `name`; raises `ConfigError` if there is none."""
    try:
        return VENDOR_BOARDS[name]
    except KeyError:
        raise ConfigError(f"no board {name!r}; there are {', '.join(VENDOR_BOARDS)}") from None
