"""Files as they are written: whole or not at all, with the rights of any new file."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from heddle.sw.errors import DataError
from heddle.sw.lib import arrays, files
from heddle.sw.nn import container


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("write", [
    lambda path: files.write(path, "text"),
    lambda path: files.write_array(path, np.zeros(3)),
    lambda path: container.save(path, {}, {"b": np.zeros(3)}),
])  # fmt: skip
def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path, umask, write):
    path = tmp_path / "folder" / "new"
    write(path)
    assert mode(path) == 0o666 & ~umask
    path.chmod(0o640)
    write(path)
    assert mode(path) == 0o640
    assert os.listdir(path.parent) == ["new"]


def test_text_is_utf8_and_its_lines_end_as_they_are(tmp_path):
    files.write(tmp_path / "a", "é\n\r\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\n\r\n"
    files.write(tmp_path / "a", b"\x00")
    assert (tmp_path / "a").read_bytes() == b"\0"


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_the_target_is_written(tmp_path, there):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "near" / "link"
    if there:
        target.write_text("old")
    link.symlink_to(Path("..") / "far" / "target")
    files.write(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert os.listdir(target.parent) == ["target"] and os.listdir(link.parent) == ["link"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_is_there(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    for there in ("old", None):
        with pytest.raises(type(error)):
            with files.replacing(path) as file:
                file.write(b"half")
                file.flush()
                assert not path.exists() if there is None else path.read_text() == there
                raise error
        assert os.listdir(tmp_path) == ([] if there is None else ["file"])
        path.unlink(missing_ok=True)


def test_what_is_no_plain_file_is_written_as_it_stands(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, "through")
    reader.join()
    assert got == [b"through"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "round").symlink_to("round")
    for path, words in (
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "round", "symbolic links"),
        (tmp_path / ("x" * 300), "name too long"),
    ):
        with pytest.raises(DataError, match=f"cannot write {path}: .*{words}"):
            files.write(path, "new")
    assert sorted(os.listdir(tmp_path)) == ["file", "round"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """In a process of its own, which may write files of no more than 64 KiB."""
    path = tmp_path / "file.npy"
    files.write_array(path, np.arange(10))
    program = (
        "import resource, signal, sys, numpy as np\n"
        "from heddle.sw.lib import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try: files.write_array(sys.argv[1], np.zeros(100_000))\n"
        "except files.DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert f"cannot write {path}" in done.stdout
    assert arrays.read(path).tolist() == list(range(10)) and os.listdir(tmp_path) == ["file.npy"]
