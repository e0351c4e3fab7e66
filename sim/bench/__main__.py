"""`make bench`: measure, show a table, write build/bench.json."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import link, util


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose names begin with this")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    console = Console()
    measured = []
    for row in (row for module in (util, link) for row in module.rows(options.only)):
        if row["name"].startswith(options.only):
            measured.append(row)
            console.print(f"{row['name']}  {row['value']:.4g}", highlight=False)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(measured, indent=2) + "\n")

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
