"""The commands that keep this repository's own documents up to date."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ...hw.platforms import Board, Build
from ..errors import HeddleError
from ..lib import files
from . import options, paths
from .app import Family, family
from .boards import BUILD, verdict
from .screen import Table, console, say

command = family(Family.MAINTAINER)


@command()
def boards(
    build: Annotated[Path, typer.Option(help="Where `heddle bitstream` wrote.")] = BUILD,
    out: Annotated[Path, typer.Option("--docs", help="Folder of the documents.")] = Path("docs"),
    route: Annotated[
        bool,
        typer.Option("--route", help="First make each bitstream that is not of this gateware."),
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Placements to try at most.")] = 3,
):
    """Take new reports of bitstreams into docs/boards/, and make the table of all boards again.

    With --route, hours: what was done is kept if it is ended. Exit status 1 if timing was missed,
    or a bitstream could not be made.
    """
    from ..flow import board_reports

    bad = 0
    reports = board_reports.update(out, build)
    if route:
        for chosen, carried in board_reports.stale(reports):
            bad += not _routed(chosen, carried, build, seeds)
            reports = board_reports.update(out, build)
    table = Table("board", "configuration", "asked", "highest", "timing", "gateware", left=2)
    for chosen, carried in board_reports.builds():
        row = [chosen.name, carried.config.name, f"{carried.mhz:g} MHz", "not routed", "", ""]
        if report := reports.get(board_reports.key(chosen, carried)):
            row[3:] = [
                f"{report['fmax']:.1f} MHz",
                verdict(report["met"]),
                Text("this")
                if board_reports.is_todays(chosen, carried, report)
                else Text("an older one", "yellow"),
            ]
        table.add_row(*row)
    console.print(table)
    say(f"wrote {out / 'boards' / 'reports.json'} and the table in {out / 'boards.md'}")
    raise typer.Exit(bool(bad))


def _routed(chosen: Board, carried: Build, out: Path, seeds: int) -> bool:
    """Make a bitstream, each step told with the time; whether that went well, and timing is met."""
    from ..flow import bitstream, board_reports

    name = board_reports.key(chosen, carried)

    def tell(text: str):
        say(f"{datetime.now():%H:%M:%S}  {name}: {text}")

    try:
        tried = range(carried.seed, carried.seed + seeds)
        report = bitstream.make(chosen, carried, out / chosen.name, tried, tell)
    except HeddleError as reason:
        tell(f"not made: {reason}")
        return False
    tell(f"{report.fmax:g} MHz of {report.mhz:g} MHz, {'met' if report.met else 'missed'}")
    return report.met


@command()
def coverage(out: Annotated[Path, typer.Option(help="Folder.")] = BUILD):
    """Measure the functional coverage of the hardware on small arrays, every bit compared.

    Exit status 1 if a cross bin of features was not seen.
    """
    from ..report import demo
    from .results import show_coverage

    paths.folder(out)
    summary = demo.coverage(console)
    show_coverage(summary)
    files.write(out / "coverage.json", json.dumps(summary, indent=2) + "\n")
    say(f"wrote {out / 'coverage.json'}")
    raise typer.Exit(bool(summary["missing"]))


@command()
def docs(out: options.Out = Path("docs")):
    """Write the pages that are generated from the code."""
    from ..report import docs as pages

    paths.folder(out)
    for name, text in pages.PAGES.items():
        files.write(out / name, text())
        say(f"wrote {out / name}")
