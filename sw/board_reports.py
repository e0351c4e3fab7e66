"""The measured reports of all boards, kept in docs/boards/reports.json, and their table.

Placing and routing every board takes hours, so reports are kept and the table is made from them.
"""

import json
from pathlib import Path

from ..hw.platforms import BOARDS, Board, Build
from .errors import FormatError

KEPT = ("mhz", "fmax", "met", "seed", "seeds", "design", "used", "tools")
"""What is kept of a report (`bitstream.Report`)."""
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
    return _json(file, "take it from the repository") if file.exists() else {}


def _json(file: Path, remedy: str) -> dict:
    try:
        return json.loads(file.read_text())
    except ValueError as reason:
        raise FormatError(f"{file} is not JSON ({reason}): {remedy}") from None


def collect(kept: dict[str, dict], folder: Path) -> dict[str, dict]:
    """`kept` with every report below the build folder in the place of the older one.

    Raises `FormatError` for a report that is damaged.
    """
    found = {}
    for board, build in builds():
        key = f"{board.name}/{build.config.name}"
        file = folder / board.name / f"{build.config.name}.json"
        if file.exists():
            remedy = "make it again with heddle bitstream, or remove it"
            report = _json(file, remedy)
            if missing := [name for name in KEPT if name not in report]:
                raise FormatError(f"{file} says nothing of {', '.join(missing)}: {remedy}")
            found[key] = {name: report[name] for name in KEPT}
        elif key in kept:
            found[key] = kept[key]
    return found


def builds() -> list[tuple[Board, Build]]:
    """Every configuration of every board."""
    return [(board, build) for board in BOARDS.values() for build in board.builds]


def text(reports: dict[str, dict]) -> str:
    """The reports as JSON, one a line."""
    lines = [f"{json.dumps(key)}: {json.dumps(report)}" for key, report in reports.items()]
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
        report = reports.get(f"{board.name}/{name}")
        if report is None:
            cells += ["not routed", *([""] * (len(CELLS) + 1))]
        else:
            late = "" if report["met"] else " (missed)"
            cells[2] = f"{report['mhz']:g} MHz"
            cells.append(f"{report['fmax']:.1f} MHz{late}")
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


def update(docs: Path, folder: Path) -> dict[str, dict]:
    """Take the reports below the build folder into docs/, and make the table again."""
    kept, page = docs / "boards" / "reports.json", docs / "boards.md"
    reports = collect(read(kept), folder)
    made = with_table(page.read_text(), reports)  # before anything is written: there may be no page
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text(reports))
    page.write_text(made)
    return reports
