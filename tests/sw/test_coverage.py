"""Functional coverage counts what was observed, says what is missing, and the report shows it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from heddle.hw.formats import OutputFormat
from heddle.hw.isa.commands import Sync
from heddle.hw.isa.descriptors import Fill, Rows
from heddle.hw.isa.engines import Engine, after
from heddle.sw.host.causes import CAUSES
from heddle.sw.report import demo, mover_coverage
from heddle.sw.report import page as report
from heddle.sw.report.coverage import BINS, DIMENSIONS, Coverage
from heddle.sw.report.cross_coverage import CONFIGS


def observe(coverage, config, n=2, inner=16, overlap=3, output=OutputFormat.FP16, relu=True):
    weights = SimpleNamespace(most=lambda: n)
    stats = SimpleNamespace(shape=(4, inner, 2), counters={"overlap": overlap})
    coverage.observe(config, weights, stats, output, relu)


def test_a_bin_is_what_was_observed():
    coverage = Coverage()
    for config in CONFIGS:
        observe(coverage, config)
    observe(coverage, CONFIGS[0], inner=13, overlap=0, relu=False)
    assert {b.format for b in coverage.hits} == set(DIMENSIONS["format"])
    assert ("int8", 2, False, False, "fp16", False) in coverage.hits
    assert ("fp16+fp32", 2, True, True, "fp16", True) in coverage.hits
    with pytest.raises(ValueError, match="no cross bin"):
        observe(coverage, CONFIGS[0], n=9)


def test_one_missing_bin_shows_everywhere():
    coverage = Coverage()
    coverage.hits.update(BINS)
    assert not coverage.missing()
    lost = next(b for b in BINS if b.format == "e4m3" and b.n == 5)
    del coverage.hits[lost]
    assert coverage.missing() == coverage.missing("e4m3") == [lost]
    assert not coverage.missing("int8")
    summary = coverage.summary()
    assert (summary["bins"], summary["hit"]) == (1512, 1511)
    assert summary["formats"]["int8"]["n"] == {"values": 9, "full": 9}
    row = summary["formats"]["e4m3"]
    assert row["hit"] == 215 and row["n"]["full"] == 8 and row["overlapped"]["full"] == 1
    assert summary["missing"] == [lost._asdict()]


@pytest.fixture
def measured():
    """A report such as `sw.report.demo.run` makes."""
    layer = {
        "layer": 0,
        "shape": [2, 16, 4],
        "pattern": "2:8",
        "dense": 40,
        "sparse": 10,
        "dense_utilisation": 0.9,
        "utilisation": 0.8,
        "speedup": 4.0,
        "ideal": 4.0,
        "headline": 4.0,
        "stalls": dict.fromkeys(("drain", "output", "schedule", "host"), 0),
        "causes": dict.fromkeys(CAUSES, 1),
        "packed_bytes": 64,
    }
    return {
        "data": "digits",
        "images": 2,
        "modelled": False,
        "configuration": CONFIGS[0].describe(),
        "layers": [layer],
        "total": layer,
        "accuracy": dict.fromkeys(("hardware", "golden", "float32"), 0.97),
        "compared": 8,
        "mismatches": 0,
        "training": {},
    }


def test_the_page_shows_coverage_where_it_was_measured(measured):
    assert "Functional coverage" not in report.render(measured)
    coverage = Coverage()
    coverage.hits.update(BINS)
    page = report.render(measured | {"coverage": coverage.summary()})
    assert "1,512 of 1,512 cross bins" in page and page.count("216 / 216") == 7
    assert all(f"<th>{name}</th>" in page for name in demo.COVERED.values())
    assert set(demo.COVERED) == set(DIMENSIONS) - {"format"}

    del coverage.hits[BINS[0]]
    page = report.render(measured | {"coverage": coverage.summary()})
    assert "1,511 of 1,512 cross bins" in page and 'class="bad"' in page and "215 / 216" in page


def test_programs_have_bins_of_their_own(measured):
    """A matrix has three ways to store and four engines, a convolution of three kinds four times as
    many, gradients two ways to store; one that is missing shows."""
    bins = mover_coverage.BINS
    assert len(bins) == 3 * 4 + 3 * 2 * 2 * 3 * 4 + 2 * 4 + 2 * 2 * 2 * 4 == len(set(bins))
    assert ("matrix", 1, False, "parts", "COPY") in bins
    assert ("depth-wise", 2, True, "padded", "FILL") in bins
    assert ("gradient of windows", 2, True, "groups", "ROWS") in bins
    seen = mover_coverage.MoverCoverage()
    seen.hits.update(bins)
    assert seen.summary()["missing"] == []
    coverage = Coverage()
    coverage.hits.update(BINS)
    page = report.render(measured | {"coverage": coverage.summary() | {"movers": seen.summary()}})
    assert "Of programs 196 of 196 cross bins" in page and page.count("48 / 48") == 3
    seen.hits[bins[-1]] = 0
    summary = seen.summary()
    assert summary["missing"] == [bins[-1]._asdict()] and summary["hit"] == 195
    page = report.render(measured | {"coverage": coverage.summary() | {"movers": summary}})
    assert "Of programs 195 of 196" in page and 'class="bad"' in page and "31 / 32" in page


def test_an_engine_by_itself():
    """What it does waits for all before it, and all behind it for that; the rest is as it was."""
    fill, rows = Fill(0, 0, 1, 0, 1), Rows(source=0, words=1, address=0, groups=1, rows=1)
    waiting = replace(rows, waits=after({Engine.FILL: 3, Engine.ARRAY: 2}))
    made = mover_coverage._apart([fill, waiting, Sync()], Engine.FILL)
    assert made[0].waits == after(dict.fromkeys(Engine, 0))
    assert made[1].waits == after({Engine.FILL: 0, Engine.ARRAY: 2}) and made[2] == Sync()


@pytest.mark.slow
def test_every_bin_of_programs_is_seen():
    summary = demo.coverage(Console(quiet=True))
    assert summary["movers"]["hit"] == 196 and summary["missing"] == []
