"""The commands for the hardware's description: its Verilog, its configurations."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ...hw.config import PRESETS, preset
from .. import files
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
    from ...hw.verilog import texts

    config = preset(preset_name)
    paths.folder(out)
    with console.status(f"generating {preset_name}"):
        made = texts(config)
    for name, text in made.items():
        files.write(out / name, text)
        console.print(f"wrote {escape(str(out / name))}")


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
