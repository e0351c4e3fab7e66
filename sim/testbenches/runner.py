"""Cocotb testbenches of single components: generated Verilog, in Verilator, run by name.

A testbench is a Python module of cocotb tests (`sim/testbenches/`). `simulate` compiles the
component (once, by content) and runs the module in a process of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
import find_libpython
from amaranth.lib import wiring

from ...hw import verilog
from ...hw.lib.library import Library
from ...sw.errors import HeddleError
from ...sw.lib import cache
from ..engines import verilator

TAIL = 60
"""Lines of a failed run's log that its error shows."""


class TestbenchFailure(HeddleError, AssertionError):
    """A testbench did not pass; the message ends with its log."""

    __test__ = False  # not a test, whatever pytest makes of its name


def simulate(
    component: wiring.Component,
    module: str,
    name: str,
    environment: Mapping[str, str] | None = None,
    library: Library | None = None,
    timeout: float = 600,
) -> dict[str, float]:
    """Run the cocotb tests of `module` on `component`, which becomes Verilog module `name`.

    The tests read what they need to know from `environment` and see the component's ports
    (``i__valid``), nothing inside. `library` is the one that the component was constructed with.
    Returns the seconds that each test took, by name. Raises `TestbenchFailure` if a test fails,
    none runs, or `timeout` seconds pass.
    """
    executable = build(component, name, library)
    runs = cache.folder() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=runs))  # kept if the run fails
    results, log = work / "results.xml", work / "log"
    with open(log, "w", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                [executable],
                cwd=work,
                env=_environment(name, module, results) | dict(environment or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            ).returncode
        except subprocess.TimeoutExpired:
            raise _failure(f"{module} on {name}: no end after {timeout} s", log) from None
    if code or not results.exists():
        raise _failure(f"{module} on {name}: the simulation ended with code {code}", log)
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    bad = [c.get("name") for c in cases if any(c.find(k) is not None for k in ("failure", "error"))]
    if bad:
        raise _failure(f"{module} on {name}: failed: {', '.join(map(str, bad))}", log)
    if not cases:
        raise _failure(f"{module} on {name}: there are no tests", log)
    shutil.rmtree(work)
    return {str(case.get("name")): float(case.get("time", 0)) for case in cases}


def build(component: wiring.Component, name: str, library: Library | None = None) -> Path:
    """The program that simulates `component` with cocotb. Raises `DeviceError` if it cannot be."""
    libraries = cocotb_tools.config.libs_dir
    ports = [port for port, (_, width) in verilog.ports(component.signature).items() if width]
    return verilator.build(
        verilator.Build(
            verilog=verilog.convert(component, name, library),
            top=name,
            sources=(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp",),
            output=name,
            verilate=("--vpi", "--timescale", "1ns/1ps"),
            link=(f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator"),
            # Only what a testbench sees is kept from the optimiser: two to three times faster.
            control="".join(f'public_flat_rw -module "{name}" -var "{port}"\n' for port in ports),
            optimise="-O1",
        )
    )


def _environment(name: str, module: str, results: Path) -> dict[str, str]:
    """What cocotb needs to find in the environment of the simulator's process."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{find_libpython.find_libpython()};{cocotb_tools.config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": name,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_ANSI_OUTPUT": "0",
        "TOPLEVEL_LANG": "verilog",
    }


def _failure(text: str, log: Path) -> TestbenchFailure:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    return TestbenchFailure(f"{text} (log: {log})\n" + "\n".join(lines))
