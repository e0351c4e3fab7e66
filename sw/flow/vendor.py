"""A complete project for a board whose FPGA needs its vendor's tools.

build/<board>/
    ip/<module>/        blocks for block designs: Verilog, and component.xml
    top.v               of a board with a serial line
    *.xdc               pins and clocks
    system.tcl          what the bitstream holds: the accelerator and what is around it
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

from ...hw import verilog
from ...hw.lib.library import Library
from ...hw.memory_top import MemoryAccelerator
from ...hw.platforms.series7 import xdc
from ...hw.platforms.top import TOP, generate
from ...hw.platforms.vendor import System, VendorBoard
from ...hw.top import Accelerator
from ..lib import files
from . import ipxact
from .toolchain import BuildError

MODULE = "heddle_memory"
"""The accelerator with a DMA of its own, which block designs instantiate."""
BLOCKS = {
    MODULE: (MemoryAccelerator, "AXI4-Lite registers, AXI4 memory"),
    verilog.TOP: (Accelerator, "AXI4-Lite registers, AXI4-Stream in and out"),
}
"""What is written to ``ip/``; the second is for a DMA of the vendor's."""
HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE.parents[1] / "constraints"
SCRIPTS = {
    System.ZYNQ: ("block", "zynq", "wrap"),
    System.PCIE: ("block", "pcie", "dram", "wrap"),
    System.SERIAL: ("serial",),
}
"""The parts of ``system.tcl``."""
SAT = {
    "name": "SAT (Fang et al., arXiv:2309.13015)",
    "board": "VCU1525, XCVU9P",
    "array": "32 x 32 FP16",
    "speed-up of training at 2:8": 1.75,
}
"""The published accelerator that the VCU1525's project stands beside; its authors' figures."""


@dataclass(frozen=True)
class Report:
    """What the accelerator is thought to take, as ``report.json`` tells it."""

    board: str
    title: str
    part: str
    configuration: str
    mhz: float
    """What the project asks for: neither placed nor routed."""
    estimate: bool
    """The figures are no result of place and route."""
    method: str
    used: dict[str, tuple[float, int]]
    """Cells and how many the device has, by kind."""
    published: dict[str, str | float]
    """An accelerator on the same device, if there is one, by its authors."""
    tools: dict[str, str]


def write(board: VendorBoard, folder: Path) -> str:
    """Write the project of `board` into `folder`, over what is there from before.

    Returns the Verilog of the accelerator that the bitstream is to hold. Raises `ConfigError` if
    the board's pins come from a package that is not installed.
    """
    texts = {
        module: _write_block(board, module, folder / "ip" / module, *what)
        for module, what in BLOCKS.items()
    }
    wires = board.pins
    text = texts[MODULE]
    if board.system is System.SERIAL:
        wires = f"{board.name}.xdc"
        text = generate(board, board.build())
        files.write(folder / f"{TOP}.v", text)
        files.write(folder / wires, xdc(board))
    elif board.pins:
        shutil.copy(CONSTRAINTS / board.pins, folder / board.pins)
    parts = [
        (HERE / "tcl" / f"{part}.tcl").read_text(encoding="utf-8") for part in SCRIPTS[board.system]
    ]
    files.write(folder / "system.tcl", "".join(parts))
    settings = {
        "part": board.part,
        "board": board.board_part,
        "mhz": f"{board.mhz:g}",
        "wires": wires,
    }
    lines = [f"# {board.title}, {board.config.name}"]
    lines += [f"set {name} {{{value}}}" for name, value in settings.items()]
    script = "\n".join(lines) + "\n\n" + (HERE / "tcl" / "build.tcl").read_text(encoding="utf-8")
    files.write(folder / "build.tcl", script)
    return text


def _write_block(board: VendorBoard, module: str, folder: Path, kind: type, ports: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    library = Library()
    text = verilog.convert(block := kind(board.config, library), module, library)
    files.write(folder / f"{module}.v", text)
    title = f"Heddle, {board.config.name}: N:M-sparse systolic array; {ports}"
    description = ipxact.describe(block.signature, module, [f"{module}.v"], title)
    files.write(folder / "component.xml", description)
    return text


def estimate(board: VendorBoard, text: str, folder: Path) -> Report:
    """Let Yosys estimate what `text` (see `write`) takes, and write ``report.json``.

    Raises `SynthesisError`.
    """
    from . import synthesis

    top = TOP if board.system is System.SERIAL else MODULE
    family = synthesis.Family(f"synth_xilinx -family {board.family}")
    area = synthesis.estimate(text, top, family)
    have = board.available
    report = Report(
        board=board.name,
        title=board.title,
        part=board.part,
        configuration=board.config.name,
        mhz=board.mhz,
        estimate=True,
        method=f"Yosys, {family.value}, each module alone; not placed, not routed",
        used={
            "LUT": (area.lut, have.lut),
            "FF": (area.ff, have.ff),
            "DSP": (area.dsp, have.dsp),
            "BRAM36": (area.ram, have.ram),
        },
        published=SAT if board.part.startswith("xcvu9p") else {},
        tools={"pyosys": metadata.version("pyosys")},
    )
    files.write(folder / "report.json", json.dumps(asdict(report), indent=2) + "\n")
    return report


def build(folder: Path, on_step: Callable[[str], None] = lambda step: None) -> Path | None:
    """Run the project through Vivado; returns the bitstream, or None if there is no Vivado.

    Raises `BuildError` if Vivado fails.
    """
    vivado = shutil.which("vivado")
    if vivado is None:
        return None
    file, log = folder / "heddle.bit", folder / "vivado.log"
    file.unlink(missing_ok=True)
    on_step(f"building (Vivado; its log: {log})")
    with open(log, "w", encoding="utf-8") as output:
        code = subprocess.run(
            [vivado, "-mode", "batch", "-nojournal", "-nolog", "-source", "build.tcl"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if code or not file.is_file():
        raise BuildError(f"Vivado failed (code {code}); what it said is in {log}")
    return file
