"""File locks between processes, on every system that Python runs on."""

import os
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock(file: int, wait: bool = True) -> None:
    """Lock the open `file` for this process alone, until it is closed.

    Raises `OSError` at once if another has it and `wait` is false.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    while True:
        try:
            # A byte far behind the file's end: it keeps nobody from reading it.
            os.lseek(file, 1 << 30, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return
        except OSError:
            if not wait:
                raise
            time.sleep(0.1)
