"""What became of the mutants: kept as JSON, every survivor judged by a person.

A survivor's `verdict` is "equivalent" (nothing that anyone can see changes), "speed" (only time
changes) or "owed" (a test should find it); `why` says it in words. Judgements stay with a mutant
as long as it is the same, wherever its line moves to.
"""

import json
from pathlib import Path

from ...sw.lib import files
from .operators import Mutant

FILE = Path("docs") / "mutants.json"
VERDICTS = ("equivalent", "speed", "owed")
ENOUGH = 0.85
"""Share of the mutants, equivalents left out, that tests must find in each half."""


def entry(mutant: Mutant, outcome: dict) -> dict:
    """A row of the results."""
    return {
        "module": mutant.module,
        "line": mutant.line,
        "place": mutant.place,
        "kind": mutant.kind,
        "before": mutant.before,
        "after": mutant.after,
        **outcome,
    }


def key(row: dict) -> tuple:
    """What a mutant is, without its line."""
    return tuple(row[name] for name in ("module", "place", "kind", "before", "after"))


def judged(rows: list[dict], earlier: list[dict]) -> list[dict]:
    """`rows` with the verdicts that survivors were given `earlier`."""
    verdicts = {key(row): row for row in earlier if "verdict" in row}
    for row in rows:
        known = verdicts.get(key(row))
        if not row["found"] and known is not None:
            row |= {"verdict": known["verdict"], "why": known["why"]}
    return rows


def share_found(rows: list[dict]) -> float:
    """Found mutants among those that are not equivalent; what is not judged counts as owed."""
    counted = [row for row in rows if row["found"] or row.get("verdict") != "equivalent"]
    return sum(row["found"] for row in counted) / len(counted) if counted else 0.0


def owed(rows: list[dict]) -> list[dict]:
    """Survivors that a test should find, or that nobody has judged."""
    return [
        row
        for row in rows
        if not row["found"] and row.get("verdict") not in ("equivalent", "speed")
    ]


def read(file: Path) -> dict:
    """The results kept in `file`; without it, none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write(file: Path, results: dict) -> None:
    """Keep `results`; the file is replaced whole."""
    files.write(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def line(row: dict) -> str:
    """A mutant for people: where it is, what was there and what is."""
    return f"{row['module']}:{row['line']} {row['kind']}: {row['before']} -> {row['after']}"
