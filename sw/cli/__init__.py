"""The `heddle` command.

A module for each family of commands, which makes them commands of `app` when it is imported; what
they share is in `configuration`, `options`, `paths` and `screen`.
"""

import sys
from typing import NoReturn

import typer

from ..errors import HeddleError
from . import boards, devices, explaining, files, hardware, maintainer, running, training
from .app import app, in_order
from .screen import complain, show_any_character

__all__ = [
    "app",
    "boards",
    "devices",
    "explaining",
    "files",
    "hardware",
    "main",
    "maintainer",
    "running",
    "training",
]

in_order()


USAGE = typer.BadParameter.__mro__[1]
"""What Typer raises for a command line that it does not understand."""


def main() -> None:
    """Run the command; a user's mistake is one line, not a traceback."""
    show_any_character()
    try:
        raise SystemExit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except USAGE as mistake:
        where = mistake.ctx.command_path if mistake.ctx else "heddle"
        _end(f"{mistake.format_message()} ({where} --help tells more)", code=2)
    except typer.Abort:
        _end("interrupted", code=130)
    except HeddleError as mistake:
        _end(str(mistake))
    except OSError as reason:
        # Of a file that is moved the second name is the user's.
        file = reason.filename2 or reason.filename
        _end(f"cannot read or write {file}: {reason.strerror}" if file else str(reason))


def _end(mistake: str, code: int = 1) -> NoReturn:
    complain(mistake)
    raise SystemExit(code) from None
