"""The measured reports of all boards, kept in docs/boards/reports.json, and their table.

Placing and routing every board takes hours, so reports are kept and the table is made from them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from ...hw.lib.verilog_structure import structure
from ...hw.platforms import BOARDS, Board, Build
from ...hw.platforms.top import generate
from ..errors import FormatError
from ..lib import files


def _number(value) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9


def _object(value, inside: Callable[..., bool]) -> bool:
    return isinstance(value, dict) and all(_text(k) and inside(v) for k, v in value.items())


def _cells(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_whole, value))


def _whole(value) -> bool:
    return type(value) is int and _number(value)


def _text(value) -> bool:
    return isinstance(value, str) and value.isprintable()


KEPT: dict[str, Callable[..., bool]] = {
    "mhz": _number,
    "fmax": _number,
    "met": lambda value: isinstance(value, bool),
    "seed": _whole,
    "seeds": lambda value: _object(value, _number),
    "design": _text,
    "used": lambda value: _object(value, _cells),
    "tools": lambda value: _object(value, _text),
}
"""What is kept of a report (`bitstream.Report`), and whether a value can be that."""
BEGIN = "<!-- Made by `make boards` from boards/reports.json. -->"
END = "<!-- End of what `make boards` made. -->"
CELLS = {
    "LUT": ("TRELLIS_COMB", "ICESTORM_LC", "LUT4"),
    "multipliers": ("MULT18X18D", "ICESTORM_DSP", "MULT18X18", "MULT9X9"),
    "block RAM": ("DP16KD", "ICESTORM_RAM", "BSRAM"),
}
"""Columns of the table: the cells that the families' placers count."""


def read(file: Path) -> dict[str, dict]:
    """The kept reports by ``board/configuration``. Raises `FormatError` if the file is damaged."""
    if not file.exists():
        return {}
    remedy = "take it from the repository"
    return {
        name: _checked(f"{file}, {name!r}", report, remedy)
        for name, report in _json(file, remedy).items()
    }


def _json(file: Path, remedy: str) -> dict:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as reason:
        raise FormatError(f"{file} is not JSON ({reason}): {remedy}") from None
    if not isinstance(content, dict):
        raise FormatError(f"{file} is not a JSON object: {remedy}")
    return content


def _checked(where: object, report: dict, remedy: str) -> dict:
    """What is kept of `report`."""
    if not isinstance(report, dict):
        raise FormatError(f"{where} is not a report: {remedy}")
    if missing := [name for name in KEPT if name not in report]:
        raise FormatError(f"{where} says nothing of {', '.join(missing)}: {remedy}")
    for name, fits in KEPT.items():
        if not fits(report[name]):
            raise FormatError(f"{where}: its {name!r} is of the wrong type: {remedy}")
    return {name: report[name] for name in KEPT}


def collect(kept: dict[str, dict], folder: Path) -> dict[str, dict]:
    """`kept` with every report below the build folder in the place of the older one.

    Raises `FormatError` for a report that is damaged.
    """
    found = {}
    for board, build in builds():
        name = key(board, build)
        file = folder / board.name / f"{build.config.name}.json"
        if file.exists():
            remedy = "make it again with heddle bitstream, or remove it"
            found[name] = _checked(file, _json(file, remedy), remedy)
        elif name in kept:
            found[name] = kept[name]
    return found


def builds() -> list[tuple[Board, Build]]:
    """Every configuration of every board."""
    return [(board, build) for board in BOARDS.values() for build in board.builds]


def key(board: Board, build: Build) -> str:
    """What the report of a build is kept under."""
    return f"{board.name}/{build.config.name}"


def is_todays(board: Board, build: Build, report: dict) -> bool:
    """Whether `report` is of the gateware as it is now."""
    return structure(generate(board, build)) == report["design"]


def stale(reports: dict[str, dict]) -> Iterator[tuple[Board, Build]]:
    """The builds without a report of today's gateware, those with small arrays first."""
    for board, build in sorted(builds(), key=lambda each: each[1].config.macs_per_cycle):
        report = reports.get(key(board, build))
        if report is None or not is_todays(board, build, report):
            yield board, build


def text(reports: dict[str, dict]) -> str:
    """The reports as JSON, one a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(report)}" for name, report in reports.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def table(reports: dict[str, dict]) -> str:
    """All boards in Markdown: what was placed and routed, and what was not."""
    lines = [
        "| board | `CONFIG=` | clock | highest | " + " | ".join(CELLS) + " | seed |",
        "|---|---|" + "---:|" * (3 + len(CELLS)),
    ]
    for board, build in builds():
        name = build.config.name
        cells = [f"`{board.name}`", f"`{name}`", f"{build.mhz:g} MHz"]
        report = reports.get(key(board, build))
        if report is None:
            cells += ["not routed", *([""] * (len(CELLS) + 1))]
        else:
            verdict = "met" if report["met"] else "missed"
            cells[2] = f"{report['mhz']:g} MHz"
            cells.append(f"{report['fmax']:.1f} MHz, {verdict}")
            cells += [_share(report["used"], types) for types in CELLS.values()]
            cells.append(f"{report['seed']} of {', '.join(report['seeds'])}")
        lines.append("| " + " | ".join(cells) + " |")
    tools = sorted({f"{tool} {v}" for r in reports.values() for tool, v in r["tools"].items()})
    lines += ["", f"Made with {', '.join(tools)}."]
    return "\n".join(lines) + "\n"


def _share(used: dict[str, list[int]], types: tuple[str, ...]) -> str:
    return " + ".join(f"{used[kind][0]:,} of {used[kind][1]:,}" for kind in types if kind in used)


def with_table(page: str, reports: dict[str, dict]) -> str:
    """A page with the table between its two marks made again. Raises `FormatError` without them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise FormatError(f"the page of boards must contain the lines {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n\n{table(reports)}\n{END}{tail}"


def _page(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as reason:
        raise FormatError(f"{file} is no text ({reason}): take it from the repository") from None


def update(docs: Path, folder: Path) -> dict[str, dict]:
    """Take the reports below the build folder into docs/, and make the table again."""
    kept, page = docs / "boards" / "reports.json", docs / "boards.md"
    reports = collect(read(kept), folder)
    # A page that is missing is noticed before anything is written.
    made = with_table(_page(page), reports)
    files.write(kept, text(reports))
    files.write(page, made)
    return reports
