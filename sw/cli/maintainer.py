"""The commands that keep this repository's own documents up to date."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

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
):
    """Take new reports of bitstreams into docs/boards/, and make the table of all boards again."""
    from ...hw.lib.verilog_structure import structure
    from ...hw.platforms.top import generate
    from ..flow import board_reports

    reports = board_reports.update(out, build)
    table = Table("board", "configuration", "asked", "highest", "timing", "gateware", left=2)
    for chosen, carried in board_reports.builds():
        name = carried.config.name
        row = [chosen.name, name, f"{carried.mhz:g} MHz", "not routed", "", ""]
        if report := reports.get(f"{chosen.name}/{name}"):
            today = structure(generate(chosen, carried)) == report["design"]
            row[3:] = [
                f"{report['fmax']:.1f} MHz",
                verdict(report["met"]),
                Text("this") if today else Text("an older one", "yellow"),
            ]
        table.add_row(*row)
    console.print(table)
    say(f"wrote {out / 'boards' / 'reports.json'} and the table in {out / 'boards.md'}")


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
