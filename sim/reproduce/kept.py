"""Results that are kept as JSON, because it takes long to make them again."""

import json
from pathlib import Path

from ...sw.lib import files


def read(path: Path, what: str = "runs") -> dict:
    """What is kept, with results under `what`; nothing under it if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {what: []}


def write(path: Path, results: dict) -> None:
    """Keep results, in place of what was there."""
    files.write(path, json.dumps(results, indent=1) + "\n")
