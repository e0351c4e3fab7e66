"""The commands for the hardware's description: its Verilog, its configurations."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ...hw.config import PRESETS, preset
from . import options, paths
from .app import Family, family
from .screen import console

command = family(Family.HARDWARE)


@command()
def verilog(
    preset_name: Annotated[
        str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")
    ] = "small",
    out: options.Out = Path("build/verilog"),
):
    """Write standalone Verilog, with ports, registers and configuration as JSON beside it."""
    from ...hw import verilog as writer

    config = preset(preset_name)
    paths.folder(out)
    with console.status(f"generating {preset_name}"):
        written = writer.write(config, out)
    for path in written:
        console.print(f"wrote {path}")


@command()
def presets():
    """List the configurations."""
    table = Table()
    rows = [config.describe() for config in PRESETS.values()]
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
