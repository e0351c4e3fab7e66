"""Clocks that boards' builds reach after place and route, and how many boards get a bitstream.

The small builds take minutes, the two large ones some twenty each: these are built only when asked
for by name. Else their row is the report in docs/boards/reports.json, or zero if the gateware has
changed since. Results of synthesis and of place and route are kept by content (`sw/lib/cache.py`):
what was routed before with the same gateware, seed and tools costs seconds.
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ...hw.platforms import BOARDS, Board, Build, board
from ...hw.platforms.top import generate
from ...sw.flow import bitstream, board_reports
from ...sw.flow.bitstream import Report
from ...sw.flow.toolchain import BuildError
from ...sw.lib import cache as store

FOLDER = Path("build")
"""Where the files go: as those of `make bitstream`, a folder a board."""
REPORTS = Path("docs/boards/reports.json")
LARGE = {"fp16_8x8": 80, "int8_12x12": 100}
"""Configurations of the ULX3S whose clock is a row, with the MHz wanted."""


def rows(only: str) -> Iterator[dict]:
    ulx3s = board("ulx3s-85f")
    for configuration, wanted in LARGE.items():
        name = f"board.ulx3s_85f.{configuration}.fmax"
        if not name.startswith(only):
            continue
        row = {"name": name, "unit": "MHz", "target": wanted, "better": "higher"}
        build = ulx3s.build(configuration)
        if only.startswith("board.ulx3s"):
            report = asdict(_made(ulx3s, build))
        else:
            report = _kept(ulx3s, build)
        if report:
            seeds = ", ".join(f"{value:.0f}" for value in report["seeds"].values())
            note = f"clocked at {report['mhz']:g} MHz; by seed: {seeds}"
            yield row | {"value": report["fmax"], "note": note}
        else:
            note = f"gateware changed since it was routed: make bench ONLY={name}"
            yield row | {"value": 0.0, "note": note}
    if "board.bitstreams".startswith(only):
        made, failed = [], []
        for each in BOARDS.values():
            try:
                report = _made(each, smallest(each))
            except BuildError:
                failed.append(each.name)
                continue
            written = (FOLDER / report.board / report.file).stat().st_size
            if report.met and written:
                made.append(report)
            else:
                failed.append(each.name)
        yield {
            "name": "board.bitstreams",
            "value": len(made),
            "unit": "boards",
            "target": len(BOARDS),
            "better": "higher",
            "note": "file and report made, timing met: "
            + ", ".join(f"{r.board} {r.configuration} at {r.mhz:g} MHz" for r in made)
            + (f"; not: {', '.join(failed)}" if failed else ""),
        }


def smallest(board: Board) -> Build:
    """The board's build with the fewest processing elements."""
    return min(board.builds, key=lambda build: build.config.macs_per_cycle)


def _kept(board: Board, build: Build) -> dict | None:
    """The kept report, if it is of this gateware."""
    report = board_reports.read(REPORTS).get(f"{board.name}/{build.config.name}")
    same = report and report["design"] == store.digest(generate(board, build))
    return report if same else None


@cache
def _made(board: Board, build: Build) -> Report:
    return bitstream.make(board, build, FOLDER / board.name)
