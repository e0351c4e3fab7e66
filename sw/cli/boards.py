"""The commands for boards: make a bitstream, load it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ...hw.config import ConfigError
from ...hw.platforms import BOARDS
from ...hw.platforms import board as find_board
from ...hw.platforms.vendor import VENDOR_BOARDS, System, VendorBoard, vendor_board
from .app import Family, family
from .screen import Table, console, say, working

if TYPE_CHECKING:
    from ..flow import bitstream as bitstream_maker
    from ..flow import vendor

Board = Annotated[str, typer.Option(help=f"One of {', '.join([*BOARDS, *VENDOR_BOARDS])}.")]
Carried = Annotated[str | None, typer.Option("--config", help="What the board is to carry.")]
Rate = Annotated[
    int | None, typer.Option("--baud", min=1, help="Rate of the board's serial line [1000000].")
]
BUILD = Path("build")
command = family(Family.BOARDS)


@command()
def bitstream(
    board: Board,
    config: Carried = None,
    baud: Rate = None,
    seeds: Annotated[int, typer.Option(min=1, help="Placements to try at most.")] = 3,
    seed: Annotated[
        int | None, typer.Option(min=1, help="The first of them [one that is known to do].")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder, one below it a board.")] = BUILD,
):
    """Make a board's bitstream with the open tools: `heddle bitstream --board ulx3s-85f`.

    For a board whose tools are its vendor's, write the project, and build it if they are there.
    What is made with another --baud lies beside the usual, and the driver wants the same --baud.
    """
    from ..flow import bitstream as maker

    if board not in BOARDS:
        _vendor_project(*_vendors(board, config, baud, out))
        return
    chosen = find_board(board)
    build = chosen.build(config)
    chosen = replace(chosen, baud=baud or chosen.baud)
    first = seed or build.seed
    tried = range(first, first + seeds)
    with working("") as on_step:
        report = maker.make(chosen, build, out / board, tried, on_step)
    _show_cells(report, "")
    say(
        *("Timing is ", verdict(report.met), f": the clock is {report.mhz:g} MHz, the highest"),
        f" {report.fmax:g} MHz (seed {report.seed} of {', '.join(report.seeds)}).",
    )
    say(f"wrote {out / board / report.file} and {out / board / 'report.json'}")
    if not report.met:
        raise typer.Exit(1)


def verdict(met: bool) -> Text:
    """Whether static timing analysis found the clock that was asked for."""
    return Text("met", "green") if met else Text("missed", "red")


def _show_cells(report: "bitstream_maker.Report | vendor.Report", what: str) -> None:
    """A table of the cells that `report` counts."""
    say(f"{report.configuration} on {report.title}{what}", style="bold")
    table = Table("cells", "used", "of", "share")
    for kind, (used, available) in report.used.items():
        table.add_row(kind, f"{used:,}", f"{available:,}", f"{used / available:.1%}")
    console.print(table)


def _vendors(
    name: str, config: str | None, baud: int | None, out: Path
) -> tuple[VendorBoard, Path]:
    """A board of a vendor's tools and its project's folder, if it carries `config` at `baud`."""
    board = vendor_board(name)
    board.build(config)  # raises if the board carries no such configuration
    if baud in (None, board.baud):
        return board, out / name
    if board.system is not System.SERIAL:
        raise ConfigError(f"{name} has no serial line, so no --baud")
    return replace(board, baud=baud), out / f"{name}-{baud}"


def _vendor_project(board: VendorBoard, folder: Path) -> None:
    from ..flow import vendor

    with working(f"generating Verilog of {board.config.name}") as on_step:
        text = vendor.write(board, folder)
        if file := vendor.build(folder, on_step):
            say(f"wrote {file}; timing.rpt and utilization.rpt beside it are Vivado's")
            return
        on_step("estimating its size (Yosys; a minute for a small one, 13 for the largest)")
        _show_cells(vendor.estimate(board, text, folder), ": an estimate by Yosys")
    say(
        f"The project in {folder} is complete. There is no vivado on the path, so no bitstream was "
        f"made. Where there is one: cd {folder} && vivado -mode batch -source build.tcl"
    )


@command()
def load(
    board: Board,
    config: Carried = None,
    baud: Rate = None,
    out: Annotated[Path, typer.Option(help="Where `heddle bitstream` wrote.")] = BUILD,
):
    """Load a bitstream into a connected board, by openFPGALoader."""
    from ..flow import toolchain
    from ..flow.bitstream import name_of

    if board not in BOARDS:
        vendors, folder = _vendors(board, config, baud, out)
        toolchain.load(vendors, folder / "heddle.bit")
        if vendors.after:
            say(f"loaded; now {vendors.after}")
        return
    chosen = find_board(board)
    name = name_of(replace(chosen, baud=baud or chosen.baud), chosen.build(config))
    suffix = toolchain.TOOLCHAINS[chosen.family].suffix
    toolchain.load(chosen, out / board / name / f"{name}.{suffix}")
