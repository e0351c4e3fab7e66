"""A complete project for a board whose FPGA needs its vendor's tools.

build/<board>/
    ip/heddle_memory/   Verilog, and component.xml for block designs
    system.tcl          what is around the accelerator
    build.tcl           makes the project and the bitstream, in Vivado
    report.json         an estimate of utilisation, by Yosys
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from hw import verilog
from hw.library import Library
from hw.memory_top import MemoryAccelerator
from hw.platforms.vendor import System, VendorBoard

from . import ipxact
from .bitstream import BuildError

MODULE = "heddle_memory"
HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE.parent / "constraints"
SCRIPTS = {System.ZYNQ: "zynq.tcl", System.PCIE: "pcie.tcl"}


@dataclass(frozen=True)
class Estimate:
    """What Yosys thinks that the accelerator takes, as ``report.json`` tells it."""

    board: str
    title: str
    part: str
    configuration: str
    mhz: float
    """What the project asks for: neither placed nor routed."""
    estimate: bool
    method: str
    used: dict[str, tuple[float, int]]
    """Cells and how many the device has, by kind."""
    tools: dict[str, str]


def write(
    board: VendorBoard, folder: Path, on_step: Callable[[str], None] = lambda step: None
) -> Estimate:
    """Write the project of `board` into `folder`, over what is there from before.

    Raises `SynthesisError` if Yosys fails.
    """
    from sim.synthesis import Family, estimate

    on_step(f"generating Verilog of {board.config.name}")
    library = Library()
    accelerator = MemoryAccelerator(board.config, library)
    text = verilog.convert(accelerator, MODULE, library)
    block = folder / "ip" / MODULE
    block.mkdir(parents=True, exist_ok=True)
    (block / f"{MODULE}.v").write_text(text)
    (block / "component.xml").write_text(
        ipxact.describe(
            MemoryAccelerator(board.config),
            MODULE,
            [f"{MODULE}.v"],
            f"Heddle, {board.config.name}: N:M-sparse systolic array with a DMA",
        )
    )
    shutil.copy(HERE / "tcl" / SCRIPTS[board.system], folder / "system.tcl")
    if board.wires:
        shutil.copy(CONSTRAINTS / board.wires, folder / board.wires)
    (folder / "build.tcl").write_text(_settings(board) + (HERE / "tcl/project.tcl").read_text())

    on_step("estimating its size (Yosys)")
    area = estimate(text, MODULE, Family(f"synth_xilinx -family {board.family}"))
    have = board.available
    report = Estimate(
        board=board.name,
        title=board.title,
        part=board.part,
        configuration=board.config.name,
        mhz=board.mhz,
        estimate=True,
        method="Yosys, each module alone; not placed, not routed",
        used={
            "LUT": (area.lut, have.lut),
            "FF": (area.ff, have.ff),
            "DSP": (area.dsp, have.dsp),
            "BRAM36": (area.ram, have.ram),
        },
        tools={"pyosys": metadata.version("pyosys")},
    )
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def _settings(board: VendorBoard) -> str:
    values = {
        "part": board.part,
        "module": MODULE,
        "mhz": f"{board.mhz:g}",
        "wires": board.wires,
    }
    lines = [f"# {board.title}, {board.config.name}"]
    lines += [f"set {name} {{{value}}}" for name, value in values.items()]
    return "\n".join(lines) + "\n\n"


def build(folder: Path) -> Path | None:
    """Run the project through Vivado, if that is on the path; returns the bitstream.

    Raises `BuildError` if Vivado fails.
    """
    vivado = shutil.which("vivado")
    if vivado is None:
        return None
    with open(folder / "vivado.log", "w") as log:
        code = subprocess.run(
            [vivado, "-mode", "batch", "-nojournal", "-nolog", "-source", "build.tcl"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode
    if code:
        raise BuildError(f"Vivado failed (code {code}); what it said is in {folder}/vivado.log")
    return folder / "heddle.bit"
