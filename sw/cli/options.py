"""Options that several commands have, and what is made of them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import ConfigError
from ..errors import DeviceError, FormatError
from ..host.device import Device
from ..host.open import KINDS, is_board, is_port, open_device
from .configuration import Chosen
from .screen import working

Pattern = Annotated[str, typer.Option("--nm", help="N:M, for example 2:8.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
Images = Annotated[int | None, typer.Option(min=1, help="Only so many test images.")]
Kind = Annotated[
    str,
    typer.Option("--device", help=f"One of {', '.join(KINDS)}, or a serial port's path."),
]
Baud = Annotated[int | None, typer.Option(min=1, help="Rate of a serial port [1000000].")]
Trace = Annotated[Path | None, typer.Option(help="Write waveforms to this .fst or .vcd file.")]
Clock = Annotated[
    float | None,
    typer.Option(help="A clock in MHz, to tell times and multiplications a second."),
]
DataFolder = Annotated[Path | None, typer.Option(help="Where a 28 x 28 set's files are.")]
Out = Annotated[Path, typer.Option(help="Folder.")]


def rate(device: str, baud: int | None) -> dict[str, int]:
    """The option of `open_device` for the serial port's rate, if one is given."""
    if baud is None:
        return {}
    if not is_port(device):
        raise DeviceError(f"--baud is for a serial port's path, not for the device {device!r}")
    return {"baud": baud}


def opened(
    kind: str, chosen: Chosen, *, baud: int | None = None, trace: Path | None = None
) -> Device:
    """The device of this kind. Raises `DeviceError`, also for a board's contrary configuration."""
    if not is_board(kind):
        with working("building the simulated accelerator (once for each configuration)"):
            return open_device(kind, config=chosen.config, trace=trace, **rate(kind, baud))
    if chosen.given and chosen.mhz is None:
        raise DeviceError(
            f"{kind} has a configuration of its own: --preset, --config and single fields are for "
            "simulated devices"
        )
    with working(f"opening {kind}"):
        device = open_device(kind, trace=trace, **rate(kind, baud))
    if chosen.given and replace(device.config, name=chosen.config.name) != chosen.config:
        device.close()
        raise DeviceError(f"{kind} is not what --board names: its configuration differs")
    return device


def clock(mhz: float | None, chosen: Chosen) -> float | None:
    """The clock in MHz that an option gives, else the named board's. Raises `ConfigError`."""
    if mhz is None:
        return chosen.mhz
    if not 0 < mhz < math.inf:
        raise ConfigError(f"--clock-mhz is a number above 0, not {mhz:g}")
    return mhz


def pattern(text: str) -> tuple[int, int]:
    """N and M of ``N:M``. Raises `FormatError`."""
    try:
        n, m = (int(part) for part in text.split(":"))
    except ValueError:
        raise FormatError(f"a pattern is N:M, like 2:8, not {text!r}") from None
    return n, m
