"""The commands that look at devices: list them, test one, simulate a board."""

import typer
from rich.live import Live
from rich.text import Text

from ..errors import HeddleError
from ..host.open import KINDS, open_device
from . import options
from .app import Family, family
from .configuration import Chosen, configured
from .screen import Table, console, say

command = family(Family.DEVICES)


def _what(config) -> str:
    return f"{config.rows} x {config.columns} {config.format.name}, M = {config.group}"


@command()
@configured("small")
def selftest(chosen: Chosen, device: options.Kind = "sim", baud: options.Baud = None):
    """Exercise every unit of a device and compare with the golden model, bit for bit."""
    from ..host import selftest as tests

    table = Table("unit", "result", "what was tried, or what went wrong", left=3)

    def show(result: tests.Result) -> None:
        verdict = Text("pass", "green") if result.passed else Text("FAIL", "red")
        table.add_row(result.unit, verdict, result.note)

    with options.opened(device, chosen, baud=baud) as opened:
        say(f"{device}: {_what(opened.config)}", style="bold")
        try:
            with Live(table, console=console, transient=True):
                results = tests.run(opened, show)
        finally:
            console.print(table)  # if the device was lost, what was tested before
    failed = sum(not result.passed for result in results)
    if failed:
        say(f"{failed} of {len(results)} units failed", style="red")
        raise typer.Exit(1)
    say(f"all {len(results)} units pass", style="green")


@command("devices")
def devices_(baud: options.Baud = None):
    """List the Heddle devices on serial ports and PCI Express, and the simulated kinds."""
    from ..transports.memories import cards
    from ..transports.serial_port import paths

    table = Table("device", "what", left=2)
    link = {"baud": baud, "timeout": 0.1, "retries": 2}
    found_at = {path: link for path in paths()} | {f"xdma:{card}": {} for card in cards()}
    for path, how in found_at.items():
        try:
            with open_device(path, **how) as found:
                table.add_row(path, _what(found.config))
        except HeddleError as reason:
            table.add_row(path, str(reason), style="dim")
    for kind, what in KINDS.items():
        table.add_row(kind, f"simulated: {what}; any configuration", style="dim")
    console.print(table)
    if not found_at:
        say("No board is connected: neither a serial port on USB nor a card on PCI Express.")


@command("board-sim")
@configured("tiny")
def board_sim(chosen: Chosen):
    """Simulate a board down to its serial pins, behind a pseudo-terminal; Ctrl-C ends it."""
    from ...sim.engines import board

    def announce(path: str) -> None:
        say(f"{chosen.config.name} at {path}: heddle selftest --device {path}")

    try:
        board.serve(chosen.config, announce)
    except KeyboardInterrupt:
        say("ended")
