"""What a person sees of the commands: whole paths, whole tables, in any terminal."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from heddle.hw.config import PRESETS
from heddle.sw import cli
from heddle.sw.cli import results, screen
from heddle.sw.compiler import packing
from heddle.sw.flow import board_reports
from heddle.sw.host.causes import CAUSES
from heddle.sw.nn import container
from heddle.sw.report import demo, page

CUT = re.compile(r"…|\.\.\.")
ROW = {
    "layer": 0,
    "shape": [10_000, 784, 512],
    "pattern": "2:8",
    "macs": 1_003_520_000,
    "dense_macs": 4_014_080_000,
    "dense": 123_456_789,
    "dense_utilisation": 1.0,
    "sparse": 100_000_000,
    "utilisation": 1.0,
    "speedup": 1.23,
    "ideal": 4.0,
    "stalls": dict.fromkeys(demo.STALLS, 10_000_000),
    "causes": dict.fromkeys(CAUSES, 100_000_000),
    "packed_bytes": 1_000_000,
}


@pytest.fixture
def seen(monkeypatch, capsys):
    """What a command shows in 80 columns."""

    def run(*arguments):
        monkeypatch.setattr(screen.console, "width", 80)
        monkeypatch.setattr(sys, "argv", ["heddle", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr().out

    return run


def made(row: dict) -> dict:
    """A report of two layers like `row`, at 100 MHz."""
    layers = [row | {"layer": i} | demo._speed(row, 100) for i in range(2)]
    return {
        "data": "digits",
        "images": 10_000,
        "modelled": False,
        "configuration": PRESETS["small"].describe(),
        "clock_mhz": 100,
        "layers": layers,
        "total": demo._total(layers, 64, 100),
        "accuracy": {"hardware": 1.0, "golden": 1.0, "float32": 0.5},
        "compared": 1_000_000,
        "mismatches": 0,
        "training": {},
    }


def whole(text: str) -> str:
    """`text`, if nothing of it was cut and no line is wider than 80 columns."""
    assert not CUT.search(text), text
    assert max(map(len, text.splitlines())) <= 80, text
    return text


def test_presets_have_every_field_in_words(seen):
    text = whole(seen("presets"))
    assert text.split("\n")[0].split() == list(PRESETS)
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()[2:]]
    assert ["columns per epilogue", "1", "1", "1", "1"] in rows
    assert ["activation groups", "64", "512", "1,024", "512"] in rows
    assert ["compact", "no", "no", "no", "no"] in rows


def test_a_long_runs_tables_fit(monkeypatch, capsys):
    monkeypatch.setattr(screen.console, "width", 80)
    results.show(made(ROW))
    results.show_coverage(
        {
            "hit": 1,
            "bins": 1_000_000,
            "products": 9_999_999,
            "missing": [],
            "formats": {
                "e5m2": {"hit": 1_000, "bins": 1_000}
                | dict.fromkeys(demo.COVERED, {"full": 9, "values": 9})
            },
        }
    )
    text = capsys.readouterr().out
    for table in text.split("\n\n")[:3]:
        whole(table)
    for shown in ("246,913,578", "10000x784x512", "100.0%", "1,000/1,000"):
        assert shown in text
    assert "by the hardware's counters" in text
    assert demo.UNCOUNTED not in text and demo.MODELLED not in text


@pytest.mark.parametrize(
    "changes, told", [({"modelled": True}, demo.MODELLED), ({"sparse": 0}, demo.UNCOUNTED)]
)
def test_whose_cycles_they_are_is_told(monkeypatch, capsys, changes, told):
    monkeypatch.setattr(screen.console, "width", 200)
    report = made(ROW | {"sparse": changes.get("sparse", ROW["sparse"])})
    results.show(report | {"modelled": "modelled" in changes})
    assert told in capsys.readouterr().out


def test_times_and_rates_at_a_clock():
    """10⁸ cycles of 10 ns are a second, in which all those multiplications were done."""
    row = made(ROW)["layers"][0]
    assert row["sparse_ms"] == 1000 and row["dense_ms"] == 1234.56789
    assert row["gmacs"] == pytest.approx(1.00352)
    assert row["equivalent_gmacs"] == pytest.approx(4.01408)
    total = made(ROW)["total"]
    assert total["gmacs"] == pytest.approx(1.00352) and total["sparse_ms"] == 2000
    assert total["utilisation"] == pytest.approx(2 * 1_003_520_000 / (64 * 200_000_000))
    assert demo._speed(ROW, None) == {} == demo._speed(ROW | {"sparse": 0}, 100)


def test_tables_of_devices_files_and_boards_fit(seen, monkeypatch, tmp_path):
    from heddle.sw.transports import memories, serial_port

    monkeypatch.setattr(serial_port, "paths", list)
    monkeypatch.setattr(memories, "NODES", tmp_path)
    whole(seen("devices"))
    weights = {f"layer{i}.weight": packing.pack(np.zeros((4096, 16))) for i in range(2)}
    monkeypatch.chdir(tmp_path)
    container.save("w.safetensors", weights)
    assert "4096 x 16" in whole(seen("info", "w.safetensors"))

    monkeypatch.setattr(board_reports, "generate", lambda *_: "")
    kept = board_reports.read(Path(__file__).parents[2] / "docs/boards/reports.json")
    monkeypatch.setattr(board_reports, "update", lambda *_: kept)
    text = whole(seen("boards"))
    assert re.search(r"ulx3s-85f +int8_4x4 .* MHz +met +an older one", text)
    late = {key: report | {"met": False} for key, report in kept.items()}
    monkeypatch.setattr(board_reports, "update", lambda *_: late)
    assert re.search(r"ulx3s-85f +int8_4x4 .* MHz +missed", seen("boards"))


@pytest.mark.parametrize("name", ["[x].npy", "[/x].npy", "a:x:.npy", "\x1b[2J.npy", "é×.npy"])
def test_a_path_is_shown_as_it_is(seen, monkeypatch, tmp_path, name):
    """Neither markup nor an emoji, and nothing that acts on the terminal."""
    folder = tmp_path / ("long" * 30)
    (folder / name).parent.mkdir(parents=True)
    np.save(folder / name, np.zeros((8, 2)))
    text = seen("check", folder / name)
    assert f"{folder}/{name} is 2:8".replace("\x1b", r"\x1b") in text.splitlines()[0]


@pytest.mark.parametrize("words", [1, 30])
def test_a_terminal_breaks_lines_between_words_only(words):
    out = io.StringIO()
    terminal = Console(file=out, width=80, force_terminal=True, markup=False, emoji=False)
    path = "/folder/" + "x" * 200
    screen.say("word " * words, path, " end", to=terminal)
    assert path in out.getvalue()


def test_an_ascii_terminal_is_no_reason_to_stop(tmp_path):
    """Signs that it cannot show are written as others, a path's in a form that names them."""
    np.save(tmp_path / "é.npy", np.zeros((8, 2)))
    plain = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}

    def shown(*arguments) -> str:
        command = [sys.executable, "-c", "from heddle.sw import cli; cli.main()", *arguments]
        done = subprocess.run(command, env=plain, capture_output=True, cwd=tmp_path)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return (done.stdout + done.stderr).decode("ascii")

    assert r"\xe9.npy is 2:8" in shown("check", "é.npy")
    assert "-----" in shown("presets")


def test_numbers_of_numpy_are_numbers_in_a_report(tmp_path):
    report = made(ROW | {"dense": np.int64(7), "utilisation": np.float32(0.5)})
    report["training"] = {"seed": np.uint8(3), "path": Path("x"), "widths": np.arange(2)}
    as_json, _ = page.write(report, tmp_path)
    text = as_json.read_text()
    assert '"dense": 7,' in text and '"utilisation": 0.5,' in text
    assert '"seed": 3,' in text and '"path": "x"' in text
    with pytest.raises(TypeError, match="cannot hold"):
        page.write(made(ROW) | {"training": object()}, tmp_path)


def test_text_stands_left_and_numbers_right():
    columns = screen.Table("a", "b", "c", "d", left=2).columns
    assert [c.justify for c in columns] == ["left", "left", "right", "right"]
    assert [c.no_wrap for c in columns] == [False, False, True, True]
