"""Options that several commands have, and what is made of them."""

from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import PRESETS
from .. import device as devices
from ..errors import DeviceError, FormatError

Preset = Annotated[str, typer.Option(help=f"Configuration: {', '.join(PRESETS)}.")]
Pattern = Annotated[str, typer.Option("--nm", help="N:M, for example 2:8.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
Images = Annotated[int | None, typer.Option(min=1, help="Only so many test images.")]
Kind = Annotated[
    str,
    typer.Option("--device", help=f"One of {', '.join(devices.KINDS)}, or a serial port's path."),
]
Baud = Annotated[int | None, typer.Option(min=1, help="Rate of a serial port [1000000].")]
Trace = Annotated[Path | None, typer.Option(help="Write waveforms to this .fst or .vcd file.")]
DataFolder = Annotated[Path | None, typer.Option(help="Where a 28 x 28 set's files are.")]
Out = Annotated[Path, typer.Option(help="Folder.")]


def rate(device: str, baud: int | None) -> dict[str, int]:
    """The option of `devices.open` for the serial port's rate, if one is given."""
    if baud is None:
        return {}
    if not devices.is_port(device):
        raise DeviceError(f"--baud is for a serial port's path, not for the device {device!r}")
    return {"baud": baud}


def pattern(text: str) -> tuple[int, int]:
    """N and M of ``N:M``. Raises `FormatError`."""
    try:
        n, m = (int(part) for part in text.split(":"))
    except ValueError:
        raise FormatError(f"a pattern is N:M, like 2:8, not {text!r}") from None
    return n, m
