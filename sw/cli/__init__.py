"""The `heddle` command.

A module for each family of commands, which makes them commands of `app` when it is imported; what
they share is in `options`, `paths` and `screen`.
"""

from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from ...hw.config import ConfigError
from ..errors import HeddleError
from . import boards, devices, files, hardware, maintainer, running, training
from .app import app, in_order

__all__ = [
    "app",
    "boards",
    "devices",
    "files",
    "hardware",
    "main",
    "maintainer",
    "running",
    "training",
]

in_order()


def main() -> None:
    """Run the command; a user's mistake is one line, not a traceback."""
    try:
        app()
    except (HeddleError, ConfigError) as mistake:
        _end(str(mistake))
    except OSError as reason:
        # Of a file that is moved the second name is the user's.
        file = reason.filename2 or reason.filename
        _end(f"cannot read or write {file}: {reason.strerror}" if file else str(reason))


def _end(mistake: str) -> NoReturn:
    message = f"[red]heddle:[/red] {escape(mistake)}"
    Console(stderr=True).print(message, highlight=False, soft_wrap=True)
    raise SystemExit(1) from None
