"""One mutant at a time: a copy of the project with the mutant in it, and its tests run there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ...sw.errors import HeddleError
from .belongs import LEFT_OUT, tests_of
from .operators import Mutant

SLOWEST = 6
"""A run of tests that takes so many times as long as without a mutant hangs."""
LEAST_SECONDS = 90
NOTHING_RUN = 5
"""Pytest's exit status when no test was selected."""


class Copy:
    """A copy of the project's files, with a build cache of its own.

    Raises `HeddleError` if the project's own tests do not pass in it: then nothing that a mutant
    does to them says anything.
    """

    def __init__(self, root: Path, folder: Path):
        self.root, self.folder = root, folder
        self.seconds: dict[tuple[str, ...], float] = {}
        shutil.rmtree(folder / "tree", ignore_errors=True)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=root, capture_output=True, check=True).stdout
        for name in names.decode().split("\0"):
            source, target = root / name, folder / "tree" / name
            if not name or not os.path.lexists(source):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def try_(self, mutant: Mutant) -> dict:
        """What became of it: ``found`` with the tests that did and how, or not; and seconds."""
        runs = tests_of(self.root, mutant.module)
        if not runs:
            return {"found": False, "by": "", "how": "no test belongs to it", "seconds": 0.0}
        path = self.folder / "tree" / mutant.module
        source = path.read_bytes()
        began = time.monotonic()
        for run in runs:
            limit = max(LEAST_SECONDS, SLOWEST * self._baseline(run))
            kept = set(self.cache.iterdir())
            path.write_bytes(mutant.applied(source))
            try:
                code = self._pytest(run, limit)
            finally:
                path.write_bytes(source)
                for entry in set(self.cache.iterdir()) - kept:
                    shutil.rmtree(entry, ignore_errors=True)
                    entry.unlink(missing_ok=True)
            if code:
                how = {None: "no end", 1: "a test failed"}.get(code, "tests did not start")
                return self._result(True, " ".join(run), how, began)
        return self._result(False, "", "", began)

    @staticmethod
    def _result(found: bool, by: str, how: str, began: float) -> dict:
        return {
            "found": found,
            "by": by,
            "how": how,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _baseline(self, run: tuple[str, ...]) -> float:
        """Seconds that the tests take when nothing is wrong."""
        if run not in self.seconds:
            self.cache.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            code = self._pytest(run, 3600)
            if code == NOTHING_RUN:
                self.seconds[run] = 0.0
            elif code:
                raise HeddleError(f"without any mutant, pytest {' '.join(run)} does not pass")
            self.seconds[run] = time.monotonic() - began
        return self.seconds[run]

    def _pytest(self, run: tuple[str, ...], limit: float) -> int | None:
        """Pytest's exit status, 0 if nothing was selected; None if it did not end in time."""
        *paths, chosen = run if "-k" in run else (*run, "")
        paths = [path for path in paths if path != "-k"]
        chosen = f"({chosen}) and {LEFT_OUT}" if chosen else LEFT_OUT
        options = ["-x", "-q", "-p", "no:cacheprovider", "-k", chosen]
        tree = self.folder / "tree"
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *paths],
                cwd=tree,
                env=os.environ
                | {
                    "PYTHONPATH": str(tree),
                    "HEDDLE_CACHE": str(self.cache),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
        return 0 if code == NOTHING_RUN else code


def _end(process: subprocess.Popen) -> None:
    """The process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
