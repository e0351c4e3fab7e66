"""Build the wheel and one from the sdist, install it where nothing else is, and use it there.

Needs what `make setup` installs; the new environment gets of requirements.lock what the wheel asks
for, checked by its hashes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRA = "sim"
"""What `heddle demo` needs beside the package's own dependencies."""
NOT_FOR_USERS = ("testbenches", "proofs", "bench", "tests")
SHADOWS = ("hw", "sw", "sim", "constraints")
"""Names of a user's own modules that must not come in the package's way."""
NEED_MORE = {"heddle.torch", "heddle.sw.nn.in_torch"}
"""Modules that want an extra."""


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        wheel = build(work)
        python = install(wheel, work)
        use(python, work)


def build(work: Path) -> Path:
    """The wheel, after it was compared with the one that is made from the sdist."""
    source = work / "source"
    listed = run(["git", "ls-files", "-z"], cwd=ROOT, quiet=True).split("\0")
    for name in filter(None, listed):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    hook = "import sys, setuptools.build_meta as b; print(b.build_sdist(sys.argv[1]))"
    run([sys.executable, "-c", hook, work / "sdist"], cwd=source, quiet=True)
    (sdist,) = (work / "sdist").glob("*.tar.gz")
    contents = []
    for origin, target in ((source, work / "wheel"), (sdist, work / "wheel-of-sdist")):
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        run([*pip, "--wheel-dir", target, origin], cwd=work)
        (wheel,) = target.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            contents.append({n: archive.read(n) for n in archive.namelist() if "-info/" not in n})
    check(contents[0] == contents[1], "the sdist's wheel is not the checkout's")
    for name in contents[0]:
        parts = name.split("/")
        check(parts[0] == "heddle", f"{name} is outside the package")
        check(not set(parts) & set(NOT_FOR_USERS), f"{name} is not for users")
    print(f"{wheel.name}: {len(contents[0])} files, {wheel.stat().st_size:,} bytes")
    return wheel


def install(wheel: Path, work: Path) -> Path:
    """The Python of a new environment with `wheel` and what it asks for."""
    needed = closure(Requirement(f"heddle[{EXTRA}]"))
    pins = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    chosen = [pin for pin in pins if canonicalize_name(pin.partition("==")[0]) in needed]
    (work / "requirements.lock").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    run([sys.executable, "-m", "venv", work / "env"], cwd=work)
    python = work / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    run([*pip, "--require-hashes", "-r", work / "requirements.lock"], cwd=work)
    run([*pip, wheel], cwd=work)
    run([python, "-m", "pip", "check"], cwd=work)
    return python


def closure(wanted: Requirement) -> set[str]:
    """Names of what `wanted` needs, by what is installed here; its own is not among them."""
    found: set[str] = set()
    todo, seen = [wanted], set()
    while todo:
        asked = todo.pop()
        if (asked.name, frozenset(asked.extras)) in seen:
            continue
        seen.add((asked.name, frozenset(asked.extras)))
        for text in distribution(asked.name).requires or ():
            needed = Requirement(text)
            extras = asked.extras or {""}
            if needed.marker and not any(needed.marker.evaluate({"extra": e}) for e in extras):
                continue
            found.add(canonicalize_name(needed.name))
            todo.append(needed)
    return found


def use(python: Path, work: Path) -> None:
    """The command in a folder with a user's own modules of the package's old names."""
    user = work / "user"
    user.mkdir()
    for name in SHADOWS:
        (user / f"{name}.py").write_text("raise ImportError('a user\\'s own module')\n")
    heddle = python.with_name("heddle")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"HEDDLE_CACHE": str(work / "cache")}
    every = (
        "import pkgutil, importlib, heddle\n"
        "names = [m.name for m in pkgutil.walk_packages(heddle.__path__, 'heddle.')]\n"
        f"for name in set(names) - {NEED_MORE!r}:\n"
        "    name.endswith('__main__') or importlib.import_module(name)\n"
        "print(len(names), 'modules')\n"
    )
    check("modules" in run([python, "-c", every], cwd=user, env=environment), "modules end Python")
    version = run([heddle, "--version"], cwd=user, env=environment)
    check(re.search(r"\d+\.\d+\.\d+", version), f"heddle --version says {version!r}")
    demo = [heddle, "demo", "--images", "8", "--no-coverage"]
    shown = run(demo, cwd=user, env=environment)
    check((user / "build" / "sim" / "report.html").exists(), f"no report:\n{shown}")


def run(command: list, quiet: bool = False, **options) -> str:
    """Run a command; returns and shows what it prints. Ends with its code if it fails."""
    print(
        "+", *command[:1], "…" if len(command) > 6 else " ".join(map(str, command[1:])), flush=True
    )
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        **options,
    )
    if done.returncode or not quiet:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def check(right, otherwise: str) -> None:
    if not right:
        sys.exit(f"wheel: {otherwise}")


if __name__ == "__main__":
    main()
