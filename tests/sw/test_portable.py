"""Where locales know only ASCII, and where the modules of POSIX are missing, as on Windows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import heddle

ROOT = Path(heddle.__file__).resolve().parents[1]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_POSIX = (
    "import sys\n"
    "for name in ('fcntl', 'grp', 'pwd', 'termios', 'tty', 'pty', 'resource'):\n"
    "    sys.modules[name] = None\n"
)
PRODUCT = (
    "import numpy as np, heddle\n"
    "x, w = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)\n"
    "with heddle.open('model') as device:\n"
    "    y, _ = device.matmul(x, heddle.pack(w))\n"
    "assert (y.view(np.float32) == [[20, 23, 26, 29], [56, 68, 80, 92]]).all()\n"
    "from heddle.sw.lib import cache\n"
    "from heddle.sw.transports import simulated\n"
    "from heddle.sw.cli import main\n"
    "sys.argv = ['heddle', *sys.argv[1:]]\n"
    "main()\n"
)


def python(program, *arguments, folder, environment=()):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
    )


@pytest.mark.parametrize("command", [("presets",), ("--help",), ("info", "ü.safetensors")])
@pytest.mark.parametrize("start", ["import sys\n", NO_POSIX], ids=["posix", "no posix"])
def test_in_a_locale_of_ascii(tmp_path, command, start):
    network = ROOT / "sw" / "nn" / "networks" / "digits-2of8.safetensors"
    shutil.copy(network, tmp_path / "ü.safetensors")
    done = python(start + PRODUCT, *command, folder=tmp_path, environment=ASCII)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout and not done.stderr


def test_a_checkout_without_links_says_so(tmp_path):
    (tmp_path / "heddle").mkdir()
    for name in ("__init__.py", "links.py"):
        shutil.copy(ROOT / "heddle" / name, tmp_path / "heddle")
    for name in ("hw", "sw", "sim", "constraints"):
        (tmp_path / "heddle" / name).write_text(f"../{name}", encoding="utf-8")
    done = python("import heddle", folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert b"git config core.symlinks true" in done.stderr.splitlines()[-1]
