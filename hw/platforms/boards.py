"""The boards that Heddle is built for, and the configurations that each one carries.

A board's pins and clock come from amaranth-boards, and from `constraints/` where that has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from ..config import Config, ConfigError
from ..formats import FP16, INT8
from .floorplan import ecp5_85
from .open_plls import ECP5, GW1N9, ICE40
from .pll import Pll


class Family(Enum):
    """FPGAs that the same tools place and route."""

    ECP5 = "Lattice ECP5"
    ICE40 = "Lattice iCE40"
    GOWIN = "Gowin LittleBee"


@dataclass(frozen=True)
class Build:
    """One configuration on a board, with its core clock in MHz."""

    config: Config
    mhz: float
    """What the PLL is to make."""
    floorplan: Callable[[Config], Mapping[str, Sequence[str]]] | None = None
    """Sites of the multipliers by instance; None leaves them to the placer."""
    options: tuple[str, ...] = ()
    """Further ones of nextpnr."""
    multiplexers: bool = True
    """Wide ones become those of the chip's slices, where it has any."""
    seed: int = 1
    """The placer's start that is tried first: one that is known to meet timing."""


@dataclass(frozen=True)
class Board:
    """A board; `builds` has its default configuration first."""

    name: str
    title: str
    part: str
    builds: tuple[Build, ...]
    family: Family
    platform: str
    """Module and class in amaranth-boards."""
    arguments: tuple[str, ...]
    """What tells nextpnr the device."""
    pll: Pll
    loader: str
    """The board's name in openFPGALoader."""
    baud: int = 1_000_000
    wires: str = ""
    """File in `constraints/` with the pins that amaranth-boards does not name."""
    held_high: tuple[str, ...] = ()
    """Pins that stay high, as amaranth-boards names them: resource.signal."""
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By port, what differs from the attributes that amaranth-boards gives its pin."""

    def build(self, name: str | None = None) -> Build:
        """The build of the configuration called `name`, or the default one."""
        for build in self.builds:
            if name in (None, "", build.config.name):
                return build
        raise ConfigError(
            f"{self.name} has no configuration {name!r}; it has "
            + ", ".join(build.config.name for build in self.builds)
        )


def _int8(rows: int, columns: int, **fields) -> Config:
    return Config(f"int8_{rows}x{columns}", rows, columns, INT8, **fields)


def _fp16(rows: int, columns: int, **fields) -> Config:
    return Config(f"fp16_{rows}x{columns}", rows, columns, FP16, **fields)


_SMALL = {"activation_groups": 64, "weight_slots": 64, "schedule_records": 16}
_MIDDLE = {"activation_groups": 256, "weight_slots": 512, "schedule_records": 256}
_INT8_4X4 = _int8(4, 4, columns_per_epilogue=4, **_SMALL)
_GOWIN_2X2 = _int8(2, 2, columns_per_epilogue=2, runs_ahead=2, compact=True, **_MIDDLE)
_ICE40_2X2 = _int8(
    *(2, 2),
    columns_per_epilogue=2,
    activation_groups=128,
    weight_slots=256,
    schedule_records=128,
    runs_ahead=2,
    compact=True,
)
# Tensor memory for eight images of the network of convolutions that ships. The others on this chip
# have none: INT8 4 x 4 has a clock that its units miss, 12 x 12 takes all multipliers.
_FP16_8X4_PROGRAMS = Config(
    *("fp16_8x4_programs", 8, 4, FP16),
    columns_per_epilogue=4,
    activation_groups=256,
    settings_pages=16,
    tensor_words=8192,
    vector_lanes=1,
)
# A small perceptron trains in it, with its masters and momentum. Groups of four, because rows and
# columns have to be whole groups: 8 x 8 cannot be routed with tensor memory, nor 8 x 4 with a
# pruner.
_FP16_4X4_TRAINING = replace(
    _FP16_8X4_PROGRAMS, name="fp16_4x4_training", rows=4, group=4, tensor_words=16384, training=True
)
# The default placer needs a third more wire for what fills half of the device, and the static one a
# fifth more with the slices' own multiplexers, whose LUTs have to lie side by side. Then the router
# takes hours.
_LARGE = (ecp5_85, ("--placer", "static"), False)
_ECP5_85 = (
    Build(_INT8_4X4, 100),
    Build(_fp16(8, 8, columns_per_epilogue=8), 80, *_LARGE),
)
# Who shares a port of tensor memory is passed within a cycle, from end to end.
_WITH_MEMORY = tuple(
    Build(config, 40, *_LARGE) for config in (_FP16_8X4_PROGRAMS, _FP16_4X4_TRAINING)
)
_INT8_12X12 = Build(_int8(12, 12, columns_per_epilogue=4), 100, *_LARGE)

BOARDS = {
    board.name: board
    for board in (
        Board(
            "ulx3s-85f",
            "Radiona ULX3S, LFE5U-85F",
            "LFE5U-85F-6BG381C",
            (*_ECP5_85, replace(_INT8_12X12, seed=5), *_WITH_MEMORY),
            Family.ECP5,
            platform="ulx3s:ULX3S_85F_Platform",
            arguments=("--85k", "--package", "CABGA381", "--speed", "6"),
            pll=ECP5,
            loader="ulx3s",
            # The ESP32's stock firmware loads its own design into the FPGA if its GPIO 0 is low
            # for some seconds; from board version 3.1.6 on the FPGA enables the ESP32 too.
            held_high=("esp32.gpio0", "esp32.en"),
        ),
        Board(
            "ecpix-5-85f",
            "LambdaConcept ECPIX-5, LFE5UM5G-85F",
            "LFE5UM5G-85F-8BG554I",
            (*_ECP5_85, _INT8_12X12),
            Family.ECP5,
            platform="ecpix5:ECPIX585Platform",
            arguments=("--um5g-85k", "--package", "CABGA554", "--speed", "8"),
            pll=ECP5,
            loader="ecpix5_r03",
        ),
        Board(
            "orangecrab-25f",
            "OrangeCrab r0.2, LFE5U-25F",
            "LFE5U-25F-8MG285C",
            (Build(_INT8_4X4, 80), Build(_fp16(4, 4, columns_per_epilogue=4, **_MIDDLE), 60)),
            Family.ECP5,
            platform="orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
            arguments=("--25k", "--package", "CSFBGA285", "--speed", "8"),
            pll=ECP5,
            loader="orangeCrab",
            wires="orangecrab.toml",
        ),
        Board(
            "tang-nano-9k",
            "Sipeed Tang Nano 9K, GW1NR-9C",
            "GW1NR-LV9QN88PC6/I5",
            (Build(_GOWIN_2X2, 36),),
            Family.GOWIN,
            platform="tang_nano_9k:TangNano9kPlatform",
            arguments=("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
            pll=GW1N9,
            loader="tangnano9k",
            # The LEDs are on a bank of 1.8 V, which the PSRAM in the package asks for.
            attributes={led: {"IO_TYPE": "LVCMOS18"} for led in ("busy", "error")},
        ),
        Board(
            "icebreaker",
            "1BitSquared iCEBreaker, iCE40UP5K",
            "iCE40UP5K-SG48I",
            (Build(_ICE40_2X2, 21),),
            Family.ICE40,
            platform="icebreaker:ICEBreakerPlatform",
            arguments=("--up5k", "--package", "sg48"),
            pll=ICE40,
            loader="ice40_generic",
        ),
    )
}


def board(name: str) -> Board:
    """The board called `name`; raises `ConfigError` if there is none."""
    try:
        return BOARDS[name]
    except KeyError:
        raise ConfigError(f"no board {name!r}; there are {', '.join(BOARDS)}") from None
