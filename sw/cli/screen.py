"""What every command prints on.

Nothing that a user or a file says is taken for markup, and nothing of it can act on the terminal;
words are styled where they are printed. In a pipe no line is broken: paths stay whole.
"""

import codecs
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

WIDE = 10_000
"""Columns where there is no terminal."""
PLAIN = {"–": "-", "—": "-", "×": "x", "─": "-", "→": ">", "µ": "u", "“": '"', "”": '"', "•": "*"}
"""What a terminal shows that cannot show the character: as wide, so that tables stay aligned."""
CONTROLS = {code: repr(chr(code))[1:-1] for code in [*range(32), *range(127, 160)]}

console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
Part = str | Text | tuple[str, str]
"""Of a line: text, or text with its style."""


def safe(text: str) -> str:
    """`text` with its control characters written out, ends of lines too."""
    return text.translate(CONTROLS)


def say(*parts: Part, style: str = "", to: Console = console) -> None:
    """Print a line. In a terminal it breaks between words only: a path can be copied whole."""
    line = Text.assemble(*(_safe(part) for part in parts), style=style)
    if to.is_terminal:
        to.print(line, overflow="ignore", crop=False)
    else:
        to.print(line, soft_wrap=True)


def _safe(part: Part) -> Part:
    if isinstance(part, Text):
        return part
    return safe(part) if isinstance(part, str) else (safe(part[0]), part[1])


def complain(mistake: str) -> None:
    """Say on standard error what was wrong."""
    error = Console(stderr=True, markup=False, emoji=False)
    first, *more = mistake.splitlines() or [""]
    say(("heddle:", "red"), f" {first}", to=error)
    for line in more:  # a tool's log
        say(line, to=error)


class Table(RichTable):
    """A table whose first `left` columns are text, which may wrap, and the others numbers."""

    def __init__(self, *columns: str, left: int = 1):
        super().__init__(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for i, name in enumerate(columns):
            number = i >= left
            side = "right" if number else "left"
            self.add_column(name, justify=side, no_wrap=number, overflow="fold")

    def add_row(self, *cells: str | Text, **options) -> None:
        super().add_row(*(safe(c) if isinstance(c, str) else c for c in cells), **options)


@contextmanager
def working(on: str) -> Iterator[Callable[[str], None]]:
    """A line, in a terminal, that says `on` while it lasts; gives a function to change it."""
    with console.status(Text(safe(on))) as status:
        yield lambda text: status.update(Text(safe(text)))


def show_any_character() -> None:
    """Let what is printed pass whatever the terminal's encoding: an ASCII locale, say."""
    codecs.register_error("heddle", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="heddle")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = []
    for place in range(error.start, error.end):
        one = UnicodeEncodeError(error.encoding, error.object, place, place + 1, error.reason)
        plain = PLAIN.get(error.object[place])
        shown.append(plain or str(codecs.backslashreplace_errors(one)[0]))
    return "".join(shown), error.end
