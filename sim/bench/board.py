"""Clocks that boards' builds reach after place and route, and how many boards get a bitstream.

The two large builds take half an hour to an hour of one core each, the small ones minutes. Results
of synthesis and of place and route are kept by content (`sim/cache.py`): what was routed before
with the same gateware, seed and tools, be it by `make bitstream`, costs seconds.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hw.platforms import BOARDS, Board, Build, board
from sw import bitstream
from sw.bitstream import Report

FOLDER = Path("build")
"""Where the files go: as those of `make bitstream`, a folder a board."""
LARGE = {"fp16_8x8": 80, "int8_12x12": 100}
"""Configurations of the ULX3S whose clock is a row, with the MHz wanted."""


def rows(only: str) -> Iterator[dict]:
    ulx3s = board("ulx3s-85f")
    for configuration, wanted in LARGE.items():
        name = f"board.ulx3s_85f.{configuration}.fmax"
        if name.startswith(only):
            report = _made(ulx3s, ulx3s.build(configuration))
            yield {
                "name": name,
                "value": report.fmax,
                "unit": "MHz",
                "target": wanted,
                "better": "higher",
                "note": f"clocked at {report.mhz:g} MHz; by seed: "
                + ", ".join(f"{value:.0f}" for value in report.seeds.values()),
            }
    if "board.bitstreams".startswith(only):
        reports = [_made(each, smallest(each)) for each in BOARDS.values()]
        made = [r for r in reports if r.met and (FOLDER / r.board / r.file).stat().st_size]
        yield {
            "name": "board.bitstreams",
            "value": len(made),
            "unit": "boards",
            "target": len(BOARDS),
            "better": "higher",
            "note": "file and report made, timing met: "
            + ", ".join(f"{r.board} {r.configuration} at {r.mhz:g} MHz" for r in made),
        }


def smallest(board: Board) -> Build:
    """The board's build with the fewest processing elements."""
    return min(board.builds, key=lambda build: build.config.macs_per_cycle)


@cache
def _made(board: Board, build: Build) -> Report:
    return bitstream.make(board, build, FOLDER / board.name)
