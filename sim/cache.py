"""Results of slow steps (Verilog, compiled simulators), kept by content and never half done."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """Where results are kept: `HEDDLE_CACHE`, else ``build/sim`` of a source tree, else
    ``~/.cache/heddle``."""
    if chosen := os.environ.get("HEDDLE_CACHE"):
        return Path(chosen)
    if (_ROOT / "pyproject.toml").exists():
        return _ROOT / "build" / "sim"
    return Path.home() / ".cache" / "heddle"


def digest(*parts: str | bytes) -> str:
    """A name for contents: 16 hexadecimal digits that differ when any part does."""
    state = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(len(content).to_bytes(8, "little") + content)
    return state.hexdigest()[:16]


def cached(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder ``<name>-<key>``, filled by `make` if it is not there yet.

    `make` works in a folder of its own that is renamed when it returns: a build that fails or is
    interrupted leaves nothing to be mistaken for a result. Processes that want the same folder
    wait for the first one to make it.
    """
    root = folder()
    entry = root / f"{name}-{key}"
    if entry.exists():
        return entry
    root.mkdir(parents=True, exist_ok=True)
    with open(root / f"{entry.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not entry.exists():
            partial = root / f"{entry.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                make(partial)
                partial.rename(entry)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    return entry


def sources(*packages: str) -> bytes:
    """The text of every Python file of `packages`, for use as part of a key."""
    files = sorted(path for package in packages for path in (_ROOT / package).rglob("*.py"))
    return b"".join(str(f.relative_to(_ROOT)).encode() + b"\0" + f.read_bytes() for f in files)
