"""The application that the commands belong to, and the families they are listed by in `--help`."""

from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""N:M-sparse weights, and the accelerator that multiplies only by what is kept.

    Begin with [bold]heddle demo[/bold]: a trained network through the simulated accelerator.""",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from heddle import __version__

        typer.echo(f"heddle {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    pass  # the option acts by its callback


class Family(StrEnum):
    """Families of commands, in the order of `--help`; each has a module of its own here."""

    RUNNING = "Run"
    DEVICES = "Devices"
    TRAINING = "Train"
    FILES = "Arrays and packed files"
    HARDWARE = "Hardware"
    BOARDS = "Boards"
    MAINTAINER = "For the maintainers of Heddle"


def family(panel: Family):
    """A decorator like `app.command`, whose commands are listed under `panel`."""
    return partial(app.command, rich_help_panel=panel.value)


def in_order() -> None:
    """Sort the commands by family, so that the order of imports does not show."""
    families = list(Family)
    app.registered_commands.sort(key=lambda c: families.index(Family(c.rich_help_panel)))
