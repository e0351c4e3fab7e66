"""Where a program's cycles went, in the terminal: nothing is wider than 80 columns."""

from rich.text import Text

from ...hw.config import Config
from ..report.engines import CAUSES, WORK, EngineTime, Explained
from .screen import Table, console, say

HEADS = {"records": "start", "fill": "weights", "commands": "cmds"}
"""Causes by shorter names."""
COLUMNS = 8
"""Causes that have room beside each other; all others share one."""
NONE = "–"
FULL, LOST = "green", "red"


def show(made: list[Explained], data: str, config: Config, images: int) -> None:
    """What `engines.explain` made: the layers alone, and the program last."""
    whole = made[-1]
    array = f"{config.rows} x {config.columns} {config.format.name}"
    say(f"{data}, {images} images as one program on {config.name} ({array})", style="bold")
    if not whole.cycles:
        say("This device counts no cycles of its engines: where they go is not measured.")
        return
    say(
        f"{whole.cycles:,} cycles, {whole.between:,} of them from the first slot to the last result"
    )
    say()
    say("What the array does, or waits for", style="bold")
    console.print(_causes(made))
    for cause in _shown(made):
        if cause != WORK:
            say(f"  {HEADS.get(cause, cause)}: {CAUSES[cause]}")
    say()
    say("How long each engine is at work", style="bold")
    console.print(_engines(made))
    say()
    say("Of the program: what each engine waits for", style="bold")
    console.print(_waits(whole))
    say()
    say(f"Of the program: words of {config.stream_bytes} bytes by port", style="bold")
    console.print(_traffic(whole))
    alone = sum(one.cycles for one in made[:-1])
    say()
    for one in made:
        say(one.limit + ".")
    say(
        f"Alone the layers take {alone:,} cycles together, "
        f"{alone / whole.cycles:.2f} x the program's."
    )


def _shown(made: list[Explained]) -> list[str]:
    """The causes that take most in any of them, in their order."""
    most = {
        cause: max(one.causes.get(cause, 0) / one.cycles for one in made if one.cycles)
        for cause in made[-1].causes
    }
    seen = sorted((cause for cause in most if most[cause] >= 0.0005), key=lambda c: -most[c])
    kept = {WORK, *seen[:COLUMNS]}
    return [cause for cause in made[-1].causes if cause in kept]


def _share(part: int, whole: int, bad: bool = False) -> str | Text:
    share = part / whole
    if share < 0.0005:
        return NONE
    text = f"{share:.1%}"
    return Text(text, LOST) if bad and share >= 0.1 else text


def _name(one: Explained) -> str:
    return one.name.removeprefix("layer ").removeprefix("the ")


def _rows(table: Table, made: list[Explained], cells) -> Table:
    """A row for each layer, and one for the program."""
    for one in made:
        if one is made[-1]:
            table.add_section()
        table.add_row(_name(one), f"{one.cycles:,}", *cells(one))
    return table


def _causes(made: list[Explained]) -> Table:
    shown = _shown(made)
    rest = any(sum(one.causes[c] for c in shown) < 0.999 * one.cycles for one in made)
    heads = [HEADS.get(cause, cause) for cause in shown] + ["other"] * rest

    def cells(one: Explained) -> list[str | Text]:
        parts = [one.causes[cause] for cause in shown]
        shares = [_share(p, one.cycles, c != WORK) for c, p in zip(shown, parts, strict=True)]
        return shares + [_share(one.cycles - sum(parts), one.cycles)] * rest

    return _rows(Table("layer", "cycles", *heads), made, cells)


def _engines(made: list[Explained]) -> Table:
    names = list(made[-1].engines)
    table = Table("layer", "cycles", "array", *(name.upper() for name in names))

    def cells(one: Explained) -> list[str | Text]:
        busy = [one.causes[WORK], *(one.engines[name].busy for name in names)]
        return [_share(part, one.cycles) for part in busy]

    return _rows(table, made, cells)


def _waits(whole: Explained) -> Table:
    """Shares of the program's cycles, an engine a line."""
    others = list(dict.fromkeys(o for time in whole.engines.values() for o in time.waits))
    order = [o for o in ("fill", "rows", "array", "store", "vector", "copy") if o in others]
    table = Table("", "at work", "memory", *(o.upper() for o in order), "idle")

    def line(time: EngineTime) -> list[str | Text]:
        idle = whole.cycles - time.busy - sum(time.waits.values())
        waits = [time.waits.get(other, 0) for other in order]
        return [_share(part, whole.cycles) for part in (time.busy, time.memory, *waits, idle)]

    for name, time in whole.engines.items():
        table.add_row(name.upper(), *line(time))
    return table


def _traffic(whole: Explained) -> Table:
    table = Table("port", "by", "words", "bytes", "of cycles", "least", "times", left=2)
    last = ""
    for one in whole.traffic:
        least, times = NONE, NONE
        if one.least:
            least, times = f"{one.least:,}", f"{one.words / one.least:.2f}"
        table.add_row(
            one.port if one.port != last else "",
            one.user,
            f"{one.words:,}",
            f"{one.bytes:,}",
            _share(one.words, whole.cycles),
            least,
            times,
        )
        last = one.port
    return table
