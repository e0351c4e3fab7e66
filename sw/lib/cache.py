"""Results of slow steps (Verilog, compiled simulators), kept by content and never half done.

What is kept is run as code. So its folder is this user's alone, and a digest beside each entry
tells whether it is still what was put there.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError
from .locks import lock
from .trusted import check_trusted

_ROOT = Path(__file__).resolve().parents[2]
_FULL = 1 << 16
"""Free bytes below which a disk is taken to be full."""


def folder() -> Path:
    """Where results are kept, an absolute path: `HEDDLE_CACHE`, else ``build/sim`` of a source
    tree, else ``~/.cache/heddle``."""
    if chosen := os.environ.get("HEDDLE_CACHE"):
        return Path(chosen).resolve()
    if (_ROOT / "pyproject.toml").exists():
        return _ROOT / "build" / "sim"
    return Path.home().resolve() / ".cache" / "heddle"


def digest(*parts: str | bytes) -> str:
    """A name for contents: 16 hexadecimal digits that differ when any part does."""
    state = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(len(content).to_bytes(8, "little") + content)
    return state.hexdigest()[:16]


def cached(name: str, key: str, make: Callable[[Path], object]) -> Path:
    """The folder ``<name>-<key>``, filled by `make` if it is not there yet, or is damaged.

    `make` works in a folder of its own that is renamed when it returns: a build that fails or is
    interrupted leaves nothing to be mistaken for a result. Processes that want the same folder
    wait for the first one to make it. Raises `DataError` if the cache's folder cannot be written
    to, is full, or could be written to by others.
    """
    root = folder()
    entry, seal = root / f"{name}-{key}", root / f"{name}-{key}.sha256"
    with _explained(root):
        _make_private(root)
        check_trusted(root)
        if _intact(entry, seal):
            return entry
        with _locked(root / f"{entry.name}.lock"):
            if not _intact(entry, seal):
                partial = root / f"{entry.name}.partial"
                for old in (partial, entry):
                    shutil.rmtree(old, ignore_errors=True)
                partial.mkdir(mode=0o700)
                try:
                    make(partial)
                    seal.write_text(_contents(partial), encoding="ascii")
                    partial.rename(entry)
                except BaseException as reason:
                    # A tool says that the disk is full in words, or is cut short and is silent.
                    full = os.strerror(errno.ENOSPC) in str(reason)
                    full = full or shutil.disk_usage(root).free < _FULL
                    shutil.rmtree(partial, ignore_errors=True)
                    if full and isinstance(reason, Exception):
                        raise _no_room(root, "the disk is full") from reason
                    raise
    return entry


def sources(*packages: str) -> bytes:
    """The text of every Python file of `packages`, for use as part of a key."""
    files = sorted(path for package in packages for path in (_ROOT / package).rglob("*.py"))
    return b"".join(str(f.relative_to(_ROOT)).encode() + b"\0" + f.read_bytes() for f in files)


def _make_private(root: Path) -> None:
    """`root`, and the folders above it that are missing, for this user alone."""
    for place in (*reversed(root.parents), root):
        place.mkdir(mode=0o700, exist_ok=True)


def _intact(entry: Path, seal: Path) -> bool:
    """Whether `entry` holds what its digest says."""
    try:
        return seal.read_text(encoding="ascii") == _contents(entry)
    except (OSError, ValueError):
        return False


def _contents(entry: Path) -> str:
    """A digest of all that is in `entry`, by name."""
    state = hashlib.sha256()
    for file in sorted(path for path in entry.rglob("*") if not path.is_dir()):
        with open(file, "rb") as opened:
            content = hashlib.file_digest(opened, "sha256").digest()
        state.update(f"{file.relative_to(entry)}\0".encode("utf-8", "surrogateescape") + content)
    return state.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A lock that lies at `path`; a link there is not followed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        lock(file)
        yield
    finally:
        os.close(file)


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as reason:
        raise _no_room(root, str(reason)) from reason


def _no_room(root: Path, reason: str) -> DataError:
    return DataError(
        f"cannot keep what is built in the folder {root} ({reason}): make room there, or name "
        "another folder by HEDDLE_CACHE"
    )
