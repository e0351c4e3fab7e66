"""What is built is kept whole, for its owner alone, and is built again when it is damaged."""

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from heddle.sim.engines import verilator
from heddle.sw.errors import DataError, DeviceError
from heddle.sw.lib import cache, locks

posix = pytest.mark.skipif(os.name == "nt", reason="modes of files mean nothing there")


@pytest.fixture
def root(monkeypatch, tmp_path):
    monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path / "é" / "cache"))
    return tmp_path / "é" / "cache"


class Maker:
    """Makes an entry of two files, and counts how often."""

    made = 0

    def __call__(self, folder: Path):
        self.made += 1
        (folder / "library.so").write_bytes(random.Random(1).randbytes(5000))
        (folder / "inner").mkdir()
        (folder / "inner" / "text").write_text("text")


def test_an_entry_is_made_once(root):
    make = Maker()
    first = cache.cached("name", "1", make)
    assert cache.cached("name", "1", make) == first == root / "name-1"
    assert make.made == 1
    cache.cached("name", "2", make)
    assert make.made == 2


@posix
def test_the_folder_is_its_owners_alone(root):
    old = os.umask(0)
    try:
        entry = cache.cached("name", "1", Maker())
    finally:
        os.umask(old)
    for folder in (root.parent, root, entry):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("seed", range(60))
def test_a_bit_that_has_flipped_is_noticed(root, seed):
    make, rng = Maker(), random.Random(seed)
    entry = cache.cached("name", "1", make)
    file = rng.choice([entry / "library.so", entry / "inner" / "text"])
    content = right = file.read_bytes()
    bit = rng.randrange(8 * len(content))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    file.write_bytes(damaged)
    assert cache.cached("name", "1", make) == entry
    assert make.made == 2 and file.read_bytes() == right


def truncate(entry, seal):
    with open(entry / "library.so", "r+b") as file:
        file.truncate(4999)


def add(entry, seal):
    (entry / "more").write_bytes(b"")


def remove(entry, seal):
    (entry / "inner" / "text").unlink()


def rename(entry, seal):
    (entry / "inner" / "text").rename(entry / "inner" / "test")


def unseal(entry, seal):
    seal.unlink()


def reseal(entry, seal):
    seal.write_text("0" * 64)


@pytest.mark.parametrize("damage", [truncate, add, remove, rename, unseal, reseal])
def test_a_damaged_entry_is_made_again(root, damage):
    make = Maker()
    entry = cache.cached("name", "1", make)
    damage(entry, root / "name-1.sha256")
    cache.cached("name", "1", make)
    assert make.made == 2
    cache.cached("name", "1", make)
    assert make.made == 2
    assert sorted(path.name for path in entry.iterdir()) == ["inner", "library.so"]


@posix
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_that_others_can_write_to_is_refused(root, mode, above):
    make = Maker()
    cache.cached("name", "1", make)
    place = root.parent if above else root
    place.chmod(mode)
    if above and mode == 0o1777:  # as /tmp is: others cannot take this one's place
        assert cache.cached("name", "1", make)
        return
    with pytest.raises(DataError, match=f"other users can write to it .mode {mode:o}.*chmod"):
        cache.cached("name", "1", make)
    assert make.made == 1


@posix
def test_a_group_of_others_is_refused_and_a_users_own_is_not(root, monkeypatch):
    import grp

    make = Maker()
    cache.cached("name", "1", make)
    root.chmod(0o770)
    name = __import__("pwd").getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group((name, "x", 0, [])))
    cache.cached("name", "1", make)
    for wrong in ((name, "x", 0, ["another"]), ("users", "x", 0, [])):
        monkeypatch.setattr(grp, "getgrgid", lambda _, wrong=wrong: grp.struct_group(wrong))
        with pytest.raises(DataError, match="other users can write"):
            cache.cached("name", "1", make)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root's rights")
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_of_another_user_is_refused(root, above):
    make = Maker()
    cache.cached("name", "1", make)
    os.chown(root.parent if above else root, 12345, 12345)
    with pytest.raises(DataError, match="belongs to another user"):
        cache.cached("name", "1", make)


@posix
def test_a_link_in_the_locks_place_is_not_followed(root, tmp_path):
    make = Maker()
    root.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (root / "name-1.lock").symlink_to(victim)
    with pytest.raises(DataError, match="cannot keep what is built in the folder .*cache"):
        cache.cached("name", "1", make)
    assert victim.read_text() == "precious" and make.made == 0


def test_a_disk_that_is_full_is_said(root):
    def make(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "design.v")

    with pytest.raises(DataError, match="folder .*cache .*disk is full.*make room"):
        cache.cached("name", "1", make)
    assert [path.suffix for path in root.iterdir()] == [".lock"]


def test_a_tool_that_fails_for_a_full_disk_is_not_blamed(root, monkeypatch):
    """What a tool has cut short looks damaged, not full."""

    def make(folder):
        raise DeviceError("damaged")

    with pytest.raises(DeviceError, match="damaged"):
        cache.cached("name", "1", make)

    def assemble(folder):
        raise DeviceError("Fatal error: can't write 8 bytes: 'No space left on device'")

    with pytest.raises(DataError, match="disk is full"):
        cache.cached("name", "1", assemble)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(DataError, match="disk is full"):
        cache.cached("name", "1", make)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a file system")
def test_a_small_disk(monkeypatch, tmp_path):
    """A real one; where it cannot be mounted, the two tests above must do."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path / "cache"))
        if verilator.available():
            request = verilator.Build("module m(input clk); endmodule", "m", (), "m.so")
            with pytest.raises(DataError, match="folder .*cache .*(full|No space)"):
                verilator.build(request)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_place_that_is_no_folder(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("precious")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("HEDDLE_CACHE", str(place))
        with pytest.raises(DataError, match="file"):
            cache.cached("name", "1", Maker())
    assert (tmp_path / "file").read_text() == "precious"


def test_locks_keep_others_out(tmp_path):
    path = tmp_path / "lock"
    with open(path, "w") as first:
        locks.lock(first.fileno())
        with open(path, "w") as second, pytest.raises(OSError):
            locks.lock(second.fileno(), wait=False)
    with open(path, "w") as third:
        locks.lock(third.fileno(), wait=False)


def test_a_compiler_with_arguments(monkeypatch, tmp_path):
    spaced = tmp_path / "my tools" / "g++"
    spaced.parent.mkdir()
    spaced.write_text("#!/bin/sh\n")
    spaced.chmod(0o755)
    monkeypatch.setenv("CXX", "env g++ -DLABEL='two words'")
    assert verilator.find_compiler() == (shutil.which("env"), "g++", "-DLABEL=two words")
    monkeypatch.setenv("CXX", str(spaced))
    assert verilator.find_compiler() == (str(spaced),)
    monkeypatch.setenv("CXX", " ")
    assert verilator.find_compiler()[0].endswith(("c++", "g++"))


@pytest.mark.parametrize("command", ["no-such-compiler -O2", "no-such-compiler", "'unclosed"])
def test_a_compiler_that_is_not_there_is_said(monkeypatch, command):
    import heddle

    monkeypatch.setenv("CXX", command)
    with pytest.raises(DeviceError, match="variable CXX"):
        heddle.open("sim", "tiny")


def test_locks_of_windows(monkeypatch):
    """Without `fcntl`: once at least, again until it is free, or not again."""
    calls, busy = [], [True, True, False]

    def locking(file, mode, count):
        calls.append((file, mode, count))
        if busy.pop(0):
            raise OSError("locked")

    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=7))
    with tempfile.TemporaryFile() as file:
        locks.lock(file.fileno())
        assert calls == [(file.fileno(), 7, 1)] * 3
        busy[:] = [True, False]
        with pytest.raises(OSError, match="locked"):
            locks.lock(file.fileno(), wait=False)
        assert busy == [False]
