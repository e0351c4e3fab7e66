"""The commands for the hardware's description: its Verilog, its configurations."""

from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import PRESETS
from ...hw.lib.verilog_names import TOP
from ..lib import files
from . import options, paths
from .app import Family, family
from .configuration import Chosen, configured
from .screen import Table, console, say, working

command = family(Family.HARDWARE)


@command()
@configured("small")
def verilog(
    chosen: Chosen,
    top: Annotated[str, typer.Option(help="Name of the top module, and of the files.")] = TOP,
    prefix: Annotated[
        str | None,
        typer.Option(help="Before other modules' names; with --top its name and _."),
    ] = None,
    out: options.Out = Path("build/verilog"),
):
    """Write standalone Verilog, and beside it a testbench.

    As JSON: ports, registers and configuration. For Verilator: what its lint says, waived with the
    reason. The testbench checks itself against the golden model's responses; how to run it with
    Icarus Verilog or Verilator stands at its head. For two configurations in one design give each
    its own --top.
    """
    from ...hw import verilog as writer
    from ..flow import standalone

    if prefix is None:
        prefix = "" if top == TOP else f"{top}_"
    paths.folder(out)
    with working(f"generating {chosen.config.name}"):
        made = writer.texts(chosen.config, top, prefix) | standalone.texts(chosen.config, top)
    for name, text in made.items():
        files.write(out / name, text)
        say(f"wrote {out / name}")


@command()
def presets():
    """List the configurations."""
    configs = [config.describe() for config in PRESETS.values()]
    table = Table("", *(config["name"] for config in configs))
    for field in configs[0]:
        if field != "name":
            table.add_row(field.replace("_", " "), *(_plain(config[field]) for config in configs))
    console.print(table)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
