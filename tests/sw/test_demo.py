"""What a person is shown of a run, with and without the device's counters."""

import io

import numpy as np
import pytest
from rich.console import Console

from heddle.hw.config import preset
from heddle.hw.platforms import board
from heddle.sim.golden.device import ModelTransport
from heddle.sw.cli import results, screen
from heddle.sw.host.device import Device
from heddle.sw.nn import data
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.network import Network, from_trained, shipped
from heddle.sw.report import demo
from heddle.sw.report import page as report


@pytest.fixture
def show(monkeypatch, capsys):
    """What a terminal of 80 columns shows of a report."""

    def printed(made) -> str:
        monkeypatch.setattr(screen.console, "width", 80)
        capsys.readouterr()
        results.show(made)
        return capsys.readouterr().out

    return printed


QUIET = Console(file=io.StringIO())


@pytest.fixture(params=["compact", "counting"])
def run(request, show):
    """Whether the device counts, its report, and that as text and as a page."""
    build = board("icebreaker").build(None)
    config = build.config if request.param == "compact" else preset("tiny")
    assert config.compact == (request.param == "compact")
    network = Network.load(shipped(config.format))
    with Device(ModelTransport(config), "model") as device:
        made = demo.run(network, data.load(network.data).first(2), device, QUIET)
    return not config.compact, made, show(made), report.render(made)


def test_gains_are_shown_only_where_they_were_counted(run):
    counted, made, text, page = run
    assert not made["mismatches"]
    assert (made["total"]["speedup"] is not None) == counted
    assert ("This device has no counters" in text) != counted
    assert ("This device has no counters" in page) != counted
    for shown in ("used", "sparse", "drain"):
        assert (shown in text) == counted
    for shown in ("over dense", "<svg", "<th>speed-up</th>", "<th>drain</th>"):
        assert (shown in page) == counted


def test_a_layer_that_keeps_nothing_has_no_ideal(show):
    """N = 0 can be packed and run; how much faster it could be is no number."""
    widths = ((64, 16, 0), (16, 10, 8))
    layers = [Layer(np.ones((k, c)), np.zeros(c), n, 8) for k, c, n in widths]
    with Device(ModelTransport(preset("small")), "model") as device:
        made = demo.run(from_trained(layers, "digits"), data.load().first(2), device, QUIET)
    assert not made["mismatches"] and [row["ideal"] for row in made["layers"]] == [None, 1]
    row = next(line for line in show(made).splitlines() if " 0:8 " in line)
    assert " – " in row
    assert "<td>–</td>" in report.render(made)


def test_the_model_is_not_called_hardware(run, show):
    counted, made, _, _ = run
    assert made["modelled"]
    for modelled in (True, False):
        page = report.render(made | {"modelled": modelled})
        for shown in (show(made | {"modelled": modelled}), page):
            assert ("hardware" in shown.lower()) != modelled
            assert ("modelled device" in shown) == modelled
            assert ("the golden model itself" in " ".join(shown.split())) == (modelled and counted)


def test_a_gain_beyond_the_ideal_is_no_headline(run):
    """It is a dense run that wastes cycles; what dense used is told beside any gain."""
    counted, made, text, page = run
    if not counted:
        return
    total = made["total"]
    assert total["headline"] == total["speedup"] <= total["ideal"]
    assert f"dense uses {100 * total['dense_utilisation']:.1f} %" in page
    assert f"{total['dense_utilisation']:.1%}" in text
    wasted = total | {"speedup": 9.56, "dense_utilisation": 0.418}
    wasted["headline"] = demo.headline(wasted)
    assert wasted["headline"] is None
    page = report.render(made | {"total": wasted})
    figures = page[page.index('<div class="figures">') :].partition("<h2>")[0]
    assert "9.56" not in figures and "41.8 %" in figures


def test_causes_of_a_layer_are_all_its_cycles(run):
    counted, made, text, page = run
    for row in made["layers"]:
        assert sum(row["causes"].values()) == row["sparse"]
        assert sum(row["dense_causes"].values()) == row["dense"]
        assert bool(row["causes"]) == counted
    assert ("uneven" in text) == (">uneven</th>" in page) == counted
