"""The commands for the hardware's description: its Verilog, its configurations."""

from pathlib import Path

from ...hw.config import PRESETS
from .. import files
from . import options, paths
from .app import Family, family
from .configuration import Chosen, configured
from .screen import Table, console, say, working

command = family(Family.HARDWARE)


@command()
@configured("small")
def verilog(
    chosen: Chosen,
    out: options.Out = Path("build/verilog"),
):
    """Write standalone Verilog, with ports, registers and configuration as JSON beside it."""
    from ...hw.verilog import texts

    paths.folder(out)
    with working(f"generating {chosen.config.name}"):
        made = texts(chosen.config)
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
