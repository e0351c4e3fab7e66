"""What is measured and shown of a network of convolutions that runs as one program."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from heddle.hw.config import preset
from heddle.sim.golden.device import ModelTransport
from heddle.sw.cli import results, running, screen
from heddle.sw.compiler.walks import Kernel
from heddle.sw.host.device import Device
from heddle.sw.nn import data
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.network import CONVOLUTIONS, Network, from_trained
from heddle.sw.nn.programs import NetworkProgram
from heddle.sw.nn.stages import Stage
from heddle.sw.report import demo, page, programs

QUIET = Console(file=io.StringIO())
IMAGES = 11
"""A whole batch, and one that is filled with zeros."""


def measured(
    network: Network, device: Device, images: int = 1, clock_mhz: float | None = None
) -> dict:
    return programs.run(network, data.load().first(images), device, QUIET, clock_mhz)


@pytest.fixture(scope="module")
def made():
    with Device(ModelTransport(preset("small")), "model") as device:
        return measured(Network.load(CONVOLUTIONS), device, IMAGES, 50)


def short() -> Network:
    """Three convolutions, the last of which adds the first one's result and is pooled, and a layer
    of all pixels with many outputs."""
    rng = np.random.default_rng(1)
    same = Kernel((3, 3), padding=(1, 1))
    layers = [
        Layer(rng.standard_normal((k, c)), rng.standard_normal(c), n, 8, stage)
        for k, c, n, stage in (
            (4, 16, 8, Stage(8, 8, Kernel((2, 2), (2, 2)))),
            (144, 16, 2, Stage(4, 4, same)),
            (144, 16, 2, Stage(4, 4, same, add=0, pool=2)),
            (64, 400, 2, Stage(2, 2, Kernel((2, 2)))),
        )
    ]
    return from_trained(layers, "digits")


def test_layers_are_told_as_they_are(made):
    """Shapes of eight images of 8 x 8 pixels, and what an array that never waits takes for them."""
    shapes = [[512, 9, 16], [128, 144, 64], [128, 576, 64], [8, 256, 64], [8, 64, 10]]
    assert [row["shape"] for row in made["layers"]] == shapes
    assert [row["pattern"] for row in made["layers"]] == [None, "2:8", "2:8", "2:8", "8:8"]
    assert [row["ideal"] for row in made["layers"]] == [1, 4, 4, 4, 1]
    # The first layer's one channel fills a group of eight when it is multiplied densely.
    cycles = [8 * math.prod(shapes[0]) / 64, *(math.prod(shape) / 64 for shape in shapes[1:4])]
    assert [row["dense"] for row in made["layers"]] == [*cycles, 8 * 64 * 16 / 64]
    assert [row["sparse"] for row in made["layers"]] == [1152, 4608, 18432, 512, 128]
    assert [row["dense_utilisation"] for row in made["layers"]] == [0.125, 1, 1, 1, 0.625]
    assert [row["headline"] for row in made["layers"]] == [None, 4, 4, 4, 1]
    assert {row["vector"] for row in made["layers"]} == {None}


def test_the_whole_is_told_beside_its_products(made):
    whole, cycles = made["whole"], 1152 + 4608 + 18432 + 512 + 128
    assert (whole["batch"], whole["batch_cycles"], whole["products"]) == (8, cycles, cycles)
    assert whole["cycles"] == 2 * cycles and whole["over_products"] == 1
    assert whole["batch_ms"] == cycles / 50_000
    assert whole["images_per_second"] == pytest.approx(8 / cycles * 50e6)
    assert whole["utilisation"] == pytest.approx(1_586_176 / (64 * cycles))


def test_every_output_is_compared(made):
    """Scores of the images, not of zeros; of each layer sparse and dense, and once pooled."""
    each = [512 * 16, 128 * 64, 128 * 64, 8 * 64, 8 * 10]
    assert made["compared"] == IMAGES * 10 + 2 * sum(each) + 32 * 64
    assert made["mismatches"] == 0 and made["images"] == IMAGES
    assert len(set(made["accuracy"].values())) == 1 and made["accuracy"]["float32"] > 0.9


def test_a_wrong_bit_is_counted_wherever_it_is():
    with Device(ModelTransport(preset("small")), "wrong") as device:
        read = device.read_memory

        def changed(address, count, *options, **named):
            words = np.array(read(address, count, *options, **named))
            words[0, 0] ^= 1
            return words

        device.read_memory = changed
        report = measured(short(), device)
    # The scores, four layers sparse and dense, and one pooled.
    assert report["mismatches"] == 1 + 2 * 4 + 1


def test_layers_alone_are_those_of_the_program(monkeypatch):
    """One after another they make what the whole program makes."""
    made, run = [], NetworkProgram.run_raw

    def noted(*given):
        made.append(run(*given)[0])
        return made[-1], {"cycles": 1} | {f"stall_{cause}": 0 for cause in demo.STALLS}

    monkeypatch.setattr(NetworkProgram, "run_raw", noted)
    with Device(ModelTransport(preset("small")), "model") as device:
        assert not measured(short(), device)["mismatches"]
    assert np.array_equal(made[0], made[-1]) and made[0].any()


def test_a_layer_whose_dense_weights_find_no_room_has_no_gain():
    config = replace(preset("small"), tensor_words=4096)
    with Device(ModelTransport(config), "little") as device:
        report = measured(short(), device)
    *others, last = report["layers"]
    assert last["dense"] is last["speedup"] is last["dense_utilisation"] is None
    assert last["headline"] is None and last["sparse"] == 64 / 4 * 400 / 8
    assert all(row["dense"] for row in others)
    assert report["mismatches"] == 0
    assert "<td>–</td><td>–</td>" in page.render({"program": report})


def shown(report: dict, monkeypatch, capsys) -> str:
    monkeypatch.setattr(screen.console, "width", 80)
    capsys.readouterr()
    results.show_program(report)
    return capsys.readouterr().out


def test_a_person_sees_whose_cycles_they_are(made, monkeypatch, capsys):
    waits = dict.fromkeys(demo.STALLS, 10_000_000)
    big = {"dense": 123_456_789, "sparse": 98_765_432, "stalls": waits, "vector": 2_119}
    rows = [row | big for row in made["layers"]]
    for report, model in ((made, True), (made | {"modelled": False, "layers": rows}, False)):
        text, html = shown(report, monkeypatch, capsys), page.render({"program": report})
        lines = text.replace(demo.MODELLED, "").partition("Accuracy")[0].splitlines()
        assert max(map(len, lines)) <= 80 and "…" not in text
        for told in (text, html):
            assert (demo.MODELLED in " ".join(told.split())) == model
            assert ("hardware" in told.lower()) != model
            assert ("2,119" in told) != model
            assert "576" in told and "99.9" not in told
        assert "Layer 0 gains more than the ideal" in text
        assert "Bit-exact: all" in text and "bit-exact" in html
        wrong = report | {"mismatches": 7}
        assert "7 of " in shown(wrong, monkeypatch, capsys)
        assert "differ from the golden model" in page.render({"program": wrong})


def test_run_writes_what_it_showed(heddle):
    options = ("--device", "model", "--images", 3, "--network", CONVOLUTIONS)
    code, text = heddle("run", *options)
    assert code == 0 and "agree in every bit" in text
    assert "digits, 3 images on small (8 x 8 fp16), as one program for 8 at a time" in text
    report = json.loads(Path("build/run/report.json").read_text())
    assert list(report) == ["program"] and report["program"]["whole"]["batch_cycles"] == 24832
    html = Path("build/run/report.html").read_text()
    assert "as one program" in html and "Layer by layer" not in html


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tensor-words", 0), "build a device with tensor_words"),
        (("--vector-lanes", 0), "has no vector unit: build one with vector_lanes"),
        (("--tensor-words", 1024), "build one with more tensor_words"),
        (("--preset", "tiny"), "the network is fp16"),
    ],
)
def test_a_device_that_cannot_run_it_is_told_in_a_line(heddle, options, words):
    code, text = heddle("run", "--device", "model", "--network", CONVOLUTIONS, *options)
    assert code == 1 and words in text and len(text.splitlines()) == 1
    assert "Traceback" not in text


@pytest.fixture
def on_model(monkeypatch):
    """The demo's device is the model, which is there at once."""
    opened = running.options.opened
    monkeypatch.setattr(
        running.options, "opened", lambda kind, *given, **named: opened("model", *given, **named)
    )


def test_the_demo_shows_both_networks(heddle, on_model, monkeypatch):
    monkeypatch.setattr(running, "MOST", 2)
    code, text = heddle("demo", "--no-coverage", "--images", 3)
    assert code == 0 and text.count("agree in every bit") == 2
    report = json.loads(Path("build/sim/report.json").read_text())
    assert (report["images"], report["program"]["images"]) == (3, 2)
    html = Path("build/sim/report.html").read_text()
    assert "Layer by layer" in html and "as one program" in html


def test_the_demo_fails_if_a_bit_of_the_program_differs(heddle, on_model, made, monkeypatch):
    monkeypatch.setattr(programs, "run", lambda *_: made | {"mismatches": 1})
    code, text = heddle("demo", "--no-coverage", "--images", 1)
    assert code == 1 and "differ from the golden model" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "tiny"), "needs a device of fp16 with tensor_words and vector_lanes"),
        (("--vector-lanes", 0), "needs a device of fp16 with tensor_words and vector_lanes"),
        (("--tensor-words", 1024), "build one with more tensor_words"),
    ],
)
def test_the_demo_says_why_it_shows_one_network_only(heddle, on_model, options, words):
    code, text = heddle("demo", "--no-coverage", "--images", 1, *options)
    assert code == 0 and "The network of convolutions is not run: " in text and words in text
    assert "program" not in json.loads(Path("build/sim/report.json").read_text())
