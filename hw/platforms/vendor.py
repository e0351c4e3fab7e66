"""Boards whose FPGA needs its vendor's tools: Heddle writes the project, they build it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from ..config import PRESETS, Config, ConfigError
from ..formats import FP16
from .boards import BOARDS, Build
from .pll import Pll
from .series7 import SERIES7


class System(Enum):
    """What is around the accelerator."""

    ZYNQ = "processing system"
    """A processor on the same chip, whose memory is shared."""
    PCIE = "PCI Express"
    """A host computer; the memory is on the card, and DRAM beside it is external memory."""
    SERIAL = "serial line"
    """A host computer, by the link of the other boards."""


@dataclass(frozen=True)
class Available:
    """What the device has. Source: AMD DS890 (UltraScale), DS190 (Zynq-7000), DS180 (7 series)."""

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
    board_part: str = ""
    """The board's description, in AMD's store of them; "" if none is needed."""
    pins: str = ""
    """File in `constraints/` with the pins, if they are not from amaranth-boards."""
    platform: str = ""
    """Module and class in amaranth-boards."""
    pll: Pll = SERIES7
    baud: int = 1_000_000
    wires: str = ""
    """As of `hw.platforms.Board`, like the next two: no pin needs another name or attribute."""
    held_high: tuple[str, ...] = ()
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    loader: str = ""
    """The board's name in openFPGALoader; "" if it is loaded otherwise."""
    loading: str = ""
    """What to do then."""
    after: str = ""
    """What remains to be done when it is loaded."""

    def build(self, name: str | None = None) -> Build:
        """Its one build, if it is called `name`. Raises `ConfigError`."""
        if name not in (None, "", self.config.name):
            raise ConfigError(f"{self.name} has no configuration {name!r}, but {self.config.name}")
        return Build(self.config, self.mhz)


def _fp16(side: int, **fields) -> Config:
    return Config(
        f"fp16_{side}x{side}",
        side,
        side,
        FP16,
        columns_per_epilogue=side,
        settings_pages=8,
        **fields,
    )


VENDOR_BOARDS = {
    board.name: board
    for board in (
        VendorBoard(
            "vcu1525",
            "AMD VCU1525, XCVU9P",
            "xcvu9p-fsgd2104-2L-e",
            "xcup",
            System.PCIE,
            replace(PRESETS["paper"], external_bits=34),
            200,
            Available(1_182_240, 2_364_480, 6_840, 2_160),
            board_part="xilinx.com:vcu1525:part0:1.3",
            pins="vcu1525.xdc",
            loader="vcu1525",
            after="restart the computer without power off, or rescan its PCI bus; then the device "
            "is xdma:/dev/xdma0",
        ),
        VendorBoard(
            "pynq-z2",
            "TUL PYNQ-Z2, XC7Z020",
            "xc7z020clg400-1",
            "xc7",
            System.ZYNQ,
            _fp16(8),
            1000 / 14,  # a whole division of the processing system's PLL
            Available(53_200, 106_400, 220, 140),
            loading="copy heddle.bit and heddle.hwh beside each other to the board; its processor "
            "loads them when it opens the device pynq:heddle.bit",
        ),
        VendorBoard(
            "arty-a7-100",
            "Digilent Arty A7-100T, XC7A100T",
            "xc7a100tcsg324-1",
            "xc7",
            System.SERIAL,
            _fp16(8),
            75,
            Available(63_400, 126_800, 240, 135),
            platform="arty_a7:ArtyA7_100Platform",
            loader="arty_a7_100t",
        ),
        VendorBoard(
            "arty-a7-35",
            "Digilent Arty A7-35T, XC7A35T",
            "xc7a35ticsg324-1L",
            "xc7",
            System.SERIAL,
            _fp16(4, activation_groups=256, weight_slots=512, schedule_records=256),
            60,
            Available(20_800, 41_600, 90, 50),
            platform="arty_a7:ArtyA7_35Platform",
            loader="arty_a7_35t",
        ),
    )
}


def vendor_board(name: str) -> VendorBoard:
    """The board called `name`; raises `ConfigError` if there is none."""
    try:
        return VENDOR_BOARDS[name]
    except KeyError:
        raise ConfigError(
            f"no board {name!r}; there are {', '.join([*BOARDS, *VENDOR_BOARDS])}"
        ) from None
