"""How many small faults the tests find: from what `make mutants` kept, for it takes an hour."""

from collections.abc import Iterator
from pathlib import Path

from ..mutants import results
from ..mutants.sample import HALVES

FILE = Path(__file__).resolve().parents[2] / results.FILE


def rows(only: str) -> Iterator[dict]:
    kept = results.read(FILE)
    for half in HALVES:
        if not (tried := kept.get(half)):
            continue
        survivors = [row for row in tried if not row["found"]]
        equivalent = sum(row.get("verdict") == "equivalent" for row in survivors)
        yield {
            "name": f"mutants.{half}.found",
            "value": results.share_found(tried),
            "unit": "",
            "target": results.ENOUGH,
            "better": "higher",
            "note": f"{len(tried)} tried, {equivalent} equivalent; kept results of `make mutants`",
        }
