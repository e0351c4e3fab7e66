"""From a configuration to a file that a board can load, with the open tools.

    Verilog ─► Yosys ─► (floorplan) ─► nextpnr (several seeds) ─► packer ─► bitstream, report.json

Every step leaves its files and its log in the build folder. A netlist that was placed and routed
before, with the same seed and the same tools, is taken from the cache (`sw/lib/cache.py`).
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path

from ...hw.lib.verilog_structure import structure
from ...hw.platforms import BOARDS, Board, Build
from ...hw.platforms.top import TOP, dividers_of, generate
from ..lib import cache, files
from . import floorplan, toolchain
from .toolchain import TOOLCHAINS, Toolchain

KEPT = ("report.json", "routed")
"""What place and route leaves."""


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
    design: str
    """`verilog_structure.structure`: differs as soon as the gateware does, but for names."""
    used: dict[str, tuple[int, int]]
    """Cells used and there, by type."""
    critical_path: list[str]
    """Nets of the longest path, from register to register."""
    tools: dict[str, str]
    """Versions of the packages, by name."""


def name_of(board: Board, build: Build) -> str:
    """What a build's files are called: its configuration, and the rate if that is not the usual
    one, so that neither replaces the other."""
    usual = board.baud == BOARDS[board.name].baud
    return build.config.name if usual else f"{build.config.name}-{board.baud}"


def make(
    board: Board,
    build: Build,
    folder: Path,
    seeds: Sequence[int] = (1, 2, 3),
    on_step: Callable[[str], None] = lambda step: None,
) -> Report:
    """Build the bitstream of `build` for `board` in `folder`; seeds are tried until timing is met.

    The best seed's result is kept and packed even if timing is missed, and the report says so.
    Raises `ConfigError` if the clock cannot make the board's rate, `BuildError` if a tool fails,
    `SynthesisError` if Yosys does.
    """
    from . import synthesis

    tools = TOOLCHAINS[board.family]
    name = name_of(board, build)
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    on_step(f"generating Verilog of {name}")
    text = generate(board, build)
    files.write(work / f"{TOP}.v", text)
    on_step("synthesising (Yosys)")
    made = synthesis.synthesise(text, TOP, tools.synthesis, multiplexers=build.multiplexers)
    netlist = work / "netlist.json"
    shutil.copy(made / netlist.name, netlist)
    if build.floorplan:
        floorplan.place(netlist, TOP, build.floorplan(build.config))

    mhz = dividers_of(board, build).output_hz / 1e6
    tried: dict[int, float] = {}
    best, result = 0, Path()
    for seed in seeds:
        on_step(f"placing and routing (nextpnr, seed {seed}; its log: {work / _log(seed)})")
        routed = _route(tools, board, build, work, mhz, seed)
        tried[seed] = _fmax(json.loads((routed / "report.json").read_text(encoding="utf-8")))
        if not best or tried[seed] > tried[best]:
            best, result = seed, routed
        if tried[seed] >= mhz:
            break
    for kept in KEPT:
        shutil.copy(result / kept, work / kept)
    on_step("packing")
    file = f"{name}.{tools.suffix}"
    toolchain.run(tools.packer, tools.pack("routed", file), work, f"{tools.packer}.log")
    timing = json.loads((work / "report.json").read_text(encoding="utf-8"))
    report = Report(
        board=board.name,
        title=board.title,
        configuration=build.config.name,
        file=f"{name}/{file}",
        mhz=round(mhz, 3),
        fmax=round(tried[best], 2),
        met=tried[best] >= mhz,
        seed=best,
        seeds={str(seed): round(value, 2) for seed, value in tried.items()},
        baud=board.baud,
        design=structure(text),
        used={
            kind: (count["used"], count["available"])
            for kind, count in sorted(timing["utilization"].items())
            if count["used"] and count["available"]  # what there is none of is no cell
        },
        critical_path=_critical_path(timing),
        tools={"pyosys": package_version("pyosys")}
        | dict(toolchain.version(tool) for tool in (tools.router, tools.packer)),
    )
    for written in (f"{name}.json", "report.json"):
        files.write(folder / written, json.dumps(asdict(report), indent=2) + "\n")
    return report


def _log(seed: int) -> str:
    return f"nextpnr-{seed}.log"


def _route(tools: Toolchain, board: Board, build: Build, work: Path, mhz: float, seed: int) -> Path:
    """The folder with what place and route makes of ``netlist.json`` in `work`."""
    constraint_file = f"{TOP}.{tools.constraints.__name__}"
    files.write(work / constraint_file, tools.constraints(board))
    arguments = [*tools.route(constraint_file, board, mhz, seed), *build.options]

    def place(entry: Path):
        toolchain.run(tools.router, arguments, work, _log(seed))
        for kept in KEPT:
            shutil.copy(work / kept, entry / kept)

    key = cache.digest(
        (work / "netlist.json").read_bytes(),
        (work / constraint_file).read_bytes(),
        repr((toolchain.version(tools.router), arguments)),
    )
    return cache.cached(f"placed-{board.name}", key, place)


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
