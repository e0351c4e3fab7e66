"""The table of boards: what the reports say, no more, and as `make boards` writes it."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from heddle.hw.platforms import BOARDS
from heddle.hw.platforms.pins import held_high, pins
from heddle.sw import cli
from heddle.sw.errors import FormatError
from heddle.sw.flow import bitstream, board_reports
from heddle.sw.flow.toolchain import BuildError

DOCS = Path(__file__).parents[2] / "docs"
REPORT = {
    "mhz": 80,
    "fmax": 95.75,
    "met": True,
    "seed": 2,
    "seeds": {"1": 78.1, "2": 95.75},
    "design": "0123",
    "used": {"TRELLIS_COMB": [10283, 24288], "DP16KD": [12, 56], "MULT18X18D": [18, 28]},
    "tools": {"pyosys": "0.70"},
}


def test_the_table_is_that_of_the_reports():
    page = (DOCS / "boards.md").read_text()
    kept = board_reports.read(DOCS / "boards" / "reports.json")
    assert page == board_reports.with_table(page, kept), "run `make boards`"
    known = {f"{board.name}/{build.config.name}" for board, build in board_reports.builds()}
    assert kept and set(kept) <= known
    assert (DOCS / "boards" / "reports.json").read_text() == board_reports.text(kept)


def test_every_clock_is_one_that_routing_met():
    kept = board_reports.read(DOCS / "boards" / "reports.json")
    for name, report in kept.items():
        assert report["met"] and report["fmax"] >= report["mhz"], name


def test_every_board_has_a_page_with_its_pins():
    index = (DOCS / "boards.md").read_text()
    for board in BOARDS.values():
        page = re.search(rf"`{board.name}`.*\(boards/(\S+\.md)\)", index)
        assert page, f"docs/boards.md does not link the page of {board.name}"
        text = (DOCS / "boards" / page[1]).read_text()
        assert f"BOARD={board.name}" in text and "No board has run Heddle yet" in text
        sites = {port: pin.site for port, pin in pins(board).items()}
        high = [tuple(held_high(board))] if board.held_high else []
        for ports in (("clk",), ("rx", "tx"), ("busy", "error"), *high):
            assert f"| {', '.join(sites[port] for port in ports)} |" in text, (board.name, ports)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("icebreaker", "writes it to the board's flash"),
        ("ecpix-5", "Revision 3 has an FT4232 with four"),
        ("ecpix-5", "usb bulk write failed"),
        ("tang-nano-9k", "`BAUD=115200`"),
        ("tang-nano-9k", "`--baud 115200`"),
        ("ulx3s", "| esp32_gpio0, esp32_en | L2, F1 | held high"),
    ],
)
def test_pages_tell_what_boards_are_known_for(page, words):
    assert words in " ".join((DOCS / "boards" / f"{page}.md").read_text().split())


def test_new_reports_replace_old_ones(tmp_path):
    (tmp_path / "build" / "orangecrab-25f").mkdir(parents=True)
    file = tmp_path / "build" / "orangecrab-25f" / "int8_4x4.json"
    file.write_text(json.dumps(REPORT | {"title": "not kept"}))
    (tmp_path / "boards.md").write_text(f"above\n{board_reports.BEGIN}\n{board_reports.END}\nbelow")
    (tmp_path / "boards").mkdir()
    old = {name: REPORT | {"fmax": 1.0} for name in ("orangecrab-25f/int8_4x4", "gone/int8_4x4")}
    (tmp_path / "boards" / "reports.json").write_text(json.dumps(old))
    reports = board_reports.update(tmp_path, tmp_path / "build")
    assert reports == {"orangecrab-25f/int8_4x4": REPORT}
    assert board_reports.read(tmp_path / "boards" / "reports.json") == reports
    page = (tmp_path / "boards.md").read_text()
    assert page.startswith("above\n") and page.endswith("\nbelow")
    row = (
        "| `orangecrab-25f` | `int8_4x4` | 80 MHz | 95.8 MHz, met | 10,283 of 24,288 "
        "| 18 of 28 | 12 of 56 | 2 of 1, 2 |"
    )
    assert row in page and "| `icebreaker` |" in page and "not routed" in page
    assert "Made with pyosys 0.70." in page
    late = board_reports.table({key: report | {"met": False} for key, report in reports.items()})
    assert "| 80 MHz | 95.8 MHz, missed |" in late


def test_routing_what_is_of_an_older_gateware(tmp_path, monkeypatch):
    """The small ones first, each with its seeds; one that fails or misses its clock stops none of
    the others."""
    names = [
        ("ulx3s-85f", "int8_12x12"),
        ("ulx3s-85f", "fp16_8x8"),
        ("orangecrab-25f", "int8_4x4"),
        ("tang-nano-9k", "int8_2x2"),
    ]
    carried = [(BOARDS[name], BOARDS[name].build(config)) for name, config in names]
    monkeypatch.setattr(board_reports, "builds", lambda: carried)
    monkeypatch.setattr(board_reports, "generate", lambda board, build: f"of {board.name}")
    monkeypatch.setattr(board_reports, "structure", lambda text: f"today's {text}")
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards.md").write_text(f"{board_reports.BEGIN}\n{board_reports.END}\n")
    old = {"/".join(name): REPORT for name in names}
    old["orangecrab-25f/int8_4x4"] = REPORT | {"design": "today's of orangecrab-25f"}
    (tmp_path / "boards" / "reports.json").write_text(json.dumps(old))
    asked = []

    def make(board, build, folder, seeds, on_step):
        asked.append((board.name, build.config.name, list(seeds)))
        on_step("placing")
        if build.config.name == "fp16_8x8":
            raise BuildError("no room")
        report = REPORT | {"design": f"today's of {board.name}", "met": build.config.rows == 12}
        folder.mkdir(parents=True)
        (folder / f"{build.config.name}.json").write_text(json.dumps(report))
        return SimpleNamespace(**report)

    monkeypatch.setattr(bitstream, "make", make)
    arguments = ["boards", "--route", "--seeds", "2", "--docs", str(tmp_path)]
    done = CliRunner().invoke(cli.app, [*arguments, "--build", str(tmp_path / "build")])
    assert done.exit_code == 1, done.output
    assert asked == [
        ("tang-nano-9k", "int8_2x2", [1, 2]),
        ("ulx3s-85f", "fp16_8x8", [1, 2]),
        ("ulx3s-85f", "int8_12x12", [5, 6]),
    ]
    for words in (
        "tang-nano-9k/int8_2x2: placing",
        "tang-nano-9k/int8_2x2: 95.75 MHz of 80 MHz, missed",
        "ulx3s-85f/fp16_8x8: not made: no room",
        "ulx3s-85f/int8_12x12: 95.75 MHz of 80 MHz, met",
    ):
        assert words in done.output
    kept = board_reports.read(tmp_path / "boards" / "reports.json")
    assert [kept["/".join(name)]["design"] for name in names] == [
        "today's of ulx3s-85f",
        "0123",
        "today's of orangecrab-25f",
        "today's of tang-nano-9k",
    ]


@pytest.mark.parametrize(
    ("text", "words"), [('{"mhz": 80', "is not JSON"), ('{"mhz": 80}', "says nothing of fmax")]
)
def test_a_damaged_report_is_named_and_nothing_is_written(tmp_path, text, words):
    file = tmp_path / "build" / "orangecrab-25f" / "int8_4x4.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(FormatError, match=rf"int8_4x4.json {words}.*heddle bitstream"):
        board_reports.update(tmp_path / "docs", tmp_path / "build")
    assert not (tmp_path / "docs").exists()


def test_what_cannot_be_read_is_said(tmp_path):
    assert board_reports.read(tmp_path / "absent.json") == {}
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(FormatError, match="damaged.json is not JSON"):
        board_reports.read(tmp_path / "damaged.json")
    with pytest.raises(FormatError, match="must contain the lines"):
        board_reports.with_table("no marks", {})
