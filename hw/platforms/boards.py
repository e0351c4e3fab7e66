"""The boards that Heddle is built for, and the configurations that each one carries.

A board's pins and clock come from amaranth-boards.
"""

from dataclasses import dataclass

from ..config import Config, ConfigError
from ..formats import FP16, INT8
from .pll import ECP5, Pll


@dataclass(frozen=True)
class Build:
    """One configuration on a board, with its core clock in MHz."""

    config: Config
    mhz: float
    """What the PLL is to make."""


@dataclass(frozen=True)
class Board:
    """A board; `builds` has its default configuration first."""

    name: str
    title: str
    part: str
    builds: tuple[Build, ...]
    platform: str
    """Module and class in amaranth-boards."""
    arguments: tuple[str, ...]
    """What tells nextpnr the device."""
    pll: Pll
    baud: int
    loader: str
    """The board's name in openFPGALoader."""
    synthesis: str
    """Yosys' command."""
    bitstream: str = "bit"
    """Suffix of the file that is loaded."""

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
_ECP5_85 = (
    Build(_fp16(8, 8, columns_per_epilogue=8), 80),
    Build(_int8(12, 12, columns_per_epilogue=4), 100),
    Build(_int8(4, 4, columns_per_epilogue=4, **_SMALL), 100),
)

BOARDS = {
    board.name: board
    for board in (
        Board(
            "ulx3s-85f",
            "Radiona ULX3S, LFE5U-85F",
            "LFE5U-85F-6BG381C",
            _ECP5_85,
            platform="ulx3s:ULX3S_85F_Platform",
            arguments=("--85k", "--package", "CABGA381", "--speed", "6"),
            pll=ECP5,
            baud=1_000_000,
            loader="ulx3s",
            synthesis="synth_ecp5 -no-rw-check",
        ),
        Board(
            "ecpix-5-85f",
            "LambdaConcept ECPIX-5, LFE5UM5G-85F",
            "LFE5UM5G-85F-8BG554I",
            _ECP5_85,
            platform="ecpix5:ECPIX585Platform",
            arguments=("--um5g-85k", "--package", "CABGA554", "--speed", "8"),
            pll=ECP5,
            baud=1_000_000,
            loader="ecpix5_r03",
            synthesis="synth_ecp5 -no-rw-check",
        ),
    )
}


def board(name: str) -> Board:
    """The board called `name`; raises `ConfigError` if there is none."""
    try:
        return BOARDS[name]
    except KeyError:
        raise ConfigError(f"no board {name!r}; there are {', '.join(BOARDS)}") from None
