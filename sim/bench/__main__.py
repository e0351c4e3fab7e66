"""`make bench`: measure, show a table, write build/bench.json."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ...sw.lib import files

MODULES = {
    "util": ("util",),
    "plan": ("plan",),
    "interleave": ("interleave",),
    "mem": ("mem",),
    "mem_external": ("mem",),
    "gradient": ("gradient",),
    "train": ("train",),
    "model": ("model",),
    "train_memory": ("train",),
    "layers": ("train",),
    "ranks": ("train",),
    "accuracy": ("train",),
    "control": ("control",),
    "vector": ("vector",),
    "copy": ("copy",),
    "net": ("net",),
    "area": ("area", "fmax", "error"),
    "simspeed": ("simspeed",),
    "host": ("host",),
    "link": ("board",),
    "board": ("board",),
    "mutants": ("mutants",),
}
"""Modules of this package, each with the first parts of its rows' names."""


def measure(only: str, console: Console) -> list[dict]:
    """The rows whose names begin with `only`; modules without any are not even imported."""
    measured = []
    for module, prefixes in MODULES.items():
        if not any(p.startswith(only) or only.split(".")[0] == p for p in prefixes):
            continue
        console.print(f"[bold]{module}[/bold]: measuring")
        for row in import_module(f".{module}", __package__).rows(only):
            if row["name"].startswith(only):
                measured.append(row)
                console.print(f"{row['name']}  {row['value']:.4g}", highlight=False)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose names begin with this")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    console = Console()
    measured = measure(options.only, console)
    if not measured:
        names = ", ".join(prefix for prefixes in MODULES.values() for prefix in prefixes)
        parser.error(f"no row's name begins with {options.only!r}; they begin with {names}")
    files.write(options.out, json.dumps(measured, indent=2) + "\n")

    table = Table(title="measured")
    for column in ("name", "value", "unit", "target", "met", "note"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for row in measured:
        target, value = row["target"], row["value"]
        met = ""
        if target is not None:
            better = value >= target if row["better"] == "higher" else value <= target
            met = "yes" if better else "no"
        table.add_row(
            row["name"], f"{value:.4g}", row["unit"], str(target or ""), met, row.get("note", "")
        )
    console.print(table)


main()
