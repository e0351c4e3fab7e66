"""The commands that look at devices: list them, test one, simulate a board."""

from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ...hw.config import preset
from .. import device as devices
from ..errors import HeddleError
from . import options
from .app import Family, family
from .screen import console

command = family(Family.DEVICES)


@command()
def selftest(
    device: options.Kind = "sim", preset: options.Preset = "small", baud: options.Baud = None
):
    """Exercise every unit of a device and compare with the golden model, bit for bit."""
    from .. import selftest as tests

    with console.status(f"opening {escape(device)}"):
        opened = devices.open(device, preset, **options.rate(device, baud))
    c = opened.config
    table = Table(title=f"{escape(device)}: {c.rows} x {c.columns} {c.format.name}, M = {c.group}")
    for column in ("unit", "result", "what was tried, or what went wrong"):
        table.add_column(column)

    def show(result: tests.Result) -> None:
        verdict = "[green]pass[/green]" if result.passed else "[red]FAIL[/red]"
        table.add_row(result.unit, verdict, escape(result.note))

    try:
        with opened, Live(table, console=console, transient=True):
            results = tests.run(opened, show)
    finally:
        console.print(table)  # what there is of it, if the device was lost
    failed = sum(not result.passed for result in results)
    if failed:
        console.print(f"[red]{failed} of {len(results)} units failed[/red]")
        raise typer.Exit(1)
    console.print(f"[green]all {len(results)} units pass[/green]")


@command("devices")
def devices_(baud: options.Baud = None):
    """List the Heddle devices on serial ports and PCI Express, and the simulated kinds."""
    from ..memories import cards
    from ..serial_port import paths

    table = Table()
    for column in ("device", "what"):
        table.add_column(column)
    link = {"baud": baud, "timeout": 0.1, "retries": 2}
    found_at = {path: link for path in paths()} | {f"xdma:{card}": {} for card in cards()}
    for path, how in found_at.items():
        try:
            with devices.open(path, **how) as found:
                c = found.config
                what = f"{c.rows} x {c.columns} {c.format.name}, M = {c.group}"
        except HeddleError as reason:
            what = f"[dim]{escape(str(reason))}[/dim]"
        table.add_row(path, what)
    for kind, what in devices.KINDS.items():
        table.add_row(kind, f"[dim]simulated: {what}; any --preset[/dim]")
    console.print(table)
    if not found_at:
        console.print(
            "No board is connected: neither a serial port on USB nor a card on PCI Express."
        )


@command("board-sim")
def board_sim(preset_name: Annotated[str, typer.Option("--preset")] = "tiny"):
    """Simulate a board down to its serial pins, behind a pseudo-terminal; Ctrl-C ends it."""
    from ...sim import board

    def announce(path: str) -> None:
        console.print(f"{preset_name} at {path}: heddle selftest --device {path}", soft_wrap=True)

    try:
        board.serve(preset(preset_name), announce)
    except KeyboardInterrupt:
        console.print("ended")
