"""Where a program's cycles went: of counts written out by hand, and of a network in simulation."""

import json

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.isa.engine_counters import engine_counters
from heddle.sw.cli import explained, screen
from heddle.sw.compiler.walks import Kernel
from heddle.sw.host.device import Device
from heddle.sw.nn.layers import Layer
from heddle.sw.nn.network import CONVOLUTIONS, from_trained
from heddle.sw.nn.stages import Stage
from heddle.sw.report import engines
from heddle.sw.transports.simulated import SimulatedTransport

from ..sim.devices import LANES

SMALL = preset("small")


def counts(**known: int) -> dict[str, int]:
    """What a device counted, of all but these nothing."""
    names = ("cycles", "slots", "stall_drain", "stall_output", *engine_counters(SMALL))
    return dict.fromkeys(names, 0) | known


def of(**known: int) -> engines.Explained:
    return engines.of_counters(SMALL, "layer 3", counts(**known), {"rows_words": 100})


def test_causes_engines_and_ports():
    made = of(
        running=1000,
        cycles=950,
        slots=600,
        stall_drain=30,
        array_rows=370,
        rows_busy=900,
        rows_memory=90,
        rows_store=50,
        rows_words=450,
        store_busy=40,
        store_array=800,
        vector_written=7,
    )
    assert (made.cycles, made.between, made.largest) == (1000, 950, "rows")
    assert {cause: n for cause, n in made.causes.items() if n} == {
        "work": 600,
        "drain": 30,
        "rows": 370,
    }
    assert sum(made.causes.values()) == made.cycles
    rows = made.engines["rows"]
    assert (rows.busy, rows.memory) == (900, 90)
    assert {other: n for other, n in rows.waits.items() if n} == {"store": 50}
    assert made.engines["store"] == engines.EngineTime(40, 0, {"array": 800})
    # A word of small is a group of eight FP16 numbers.
    assert [(t.port, t.user, t.words, t.bytes, t.least) for t in made.traffic] == [
        ("read 0", "ROWS", 450, 7200, 100),
        ("write", "STORE", 40, 640, None),
        ("write", "VECTOR", 7, 112, None),
    ]
    assert made.limit.startswith(
        "layer 3 waits most for rows (370 of 1,000 cycles; the array issues slots in 60% of the "
        "cycles): ROWS is at work in 90% of them, moves each word 4.5 times, waits for tensor "
        "memory in 9% and waits for STORE in 5%; a group of each row takes 8 cycles"
    )


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("stall_drain", "sums to drain (300 of 1,000 cycles"),
        ("stall_output", "room for results"),
        ("array_records", "RUNs are short"),
        ("array_fill", "more rows at once use them more often"),
        ("array_settings", "16 pages hold as many column blocks"),
        ("array_rows", "the mover is fast enough, but for the first ones"),
        ("array_rows", "they begin when the layer before has made them"),
        ("array_store", "waits most for rows to be stored"),
        ("array_vector", "VECTOR is at work in 0% of them; more vector_lanes"),
        ("array_commands", "each takes 4 cycles"),
        ("array_host", "it sends commands too slowly"),
        ("array_end", "what comes after its last RUN"),
    ],
)
def test_each_cause_has_its_sentence(cause, words):
    known = {"running": 1000, "slots": 700, cause: 300}
    assert words in of(**known, rows_store=200 if "begin when" in words else 100).limit


def test_a_program_that_waits_for_nothing():
    assert of(running=1000, slots=980, array_end=20).limit == (
        "layer 3 is limited by its multiplications: the array issues slots in 98% of the cycles"
    )


@pytest.fixture(scope="module")
def made():
    """A convolution that has few columns, and a layer of all pixels, alone and as a program."""
    rng = np.random.default_rng(3)
    same, whole = Stage(4, 4, Kernel((3, 3), padding=(1, 1))), Stage(4, 4, Kernel((4, 4)))
    layers = [
        Layer(rng.standard_normal((72, 8)), rng.standard_normal(8), 2, 8, same),
        Layer(rng.standard_normal((128, 9)), rng.standard_normal(9), 8, 8, whole),
    ]
    network = from_trained(layers, "digits")
    with Device(SimulatedTransport(LANES)) as device:
        return engines.explain(network, device, rng.standard_normal((6, 128)))


def test_a_network_layer_by_layer_and_whole(made):
    """Six images of 16 pixels of a group, two in a word; the second layer takes them whole, and its
    results are nine numbers of 32 bits, three groups."""
    assert [one.name for one in made] == ["layer 0", "layer 1", "the program"]
    for one in made:
        assert sum(one.causes.values()) == one.cycles >= one.between > one.causes["work"] > 0
        assert "copy" not in one.engines and "vector" not in one.engines
    words = [{t.user: t.least for t in one.traffic} for one in made]
    rows, results = 6 * 16 // 2, (6 * 16 // 2, 6 // 2 * 3)
    assert [w["ROWS"] for w in words] == [rows, rows, 2 * rows]
    assert [w["STORE"] for w in words] == [*results, sum(results)]
    # 24 blocks of four pixels, each with nine taps of two kept weights, for two column blocks.
    assert made[0].causes["work"] == 24 * 9 * 2 * 2
    # Two blocks of rows, 16 pixels of eight weights, three column blocks.
    assert made[1].causes["work"] == 2 * 128 * 3
    assert made[2].causes["work"] == made[0].causes["work"] + made[1].causes["work"]
    taken = {t.user: t.words for t in made[0].traffic}["ROWS"]
    # Every tap inside the image is read: of 36 ways over the border of a line of four, 6 are out.
    assert 3 * rows < taken <= 9 * rows


def test_it_is_shown_within_80_columns(made, monkeypatch, capsys):
    monkeypatch.setattr(screen.console, "width", 80)
    explained.show(made, "digits", LANES, 6)
    text = capsys.readouterr().out
    tables = text.partition("\nlayer 0 waits")[0].splitlines()
    assert max(map(len, tables)) <= 80 and "…" not in text
    for told in (f"{made[2].cycles:,} cycles", "ROWS", "read 1", made[0].limit, made[2].limit):
        assert told in text
    for cause in engines.CAUSES.values():
        assert text.count(f": {cause}\n") <= 1


def test_a_device_that_counts_no_engines(heddle):
    code, text = heddle("explain", "--network", "digits-2of8", "--device", "model", "--batch", 2)
    assert code == 0 and "2 images as one program on small" in text
    assert "counts no cycles of its engines" in text
    code, text = heddle("explain", CONVOLUTIONS, "--device", "model", "--batch", 1)
    assert code == 0 and "1 images as one program on small" in text
    options = ("--network", "digits-2of8", "--device", "model", "--batch", 2, "--json")
    code, text = heddle("explain", *options)
    names = [one["name"] for one in json.loads(text)]
    assert code == 0 and names == ["layer 0", "layer 1", "layer 2", "the program"]


def test_mistakes(heddle):
    for options, words in (
        (("--network", "nobody"), "nobody"),
        (("--network", "digits-2of8", "--shape", "1x8x1"), "or a program with --network"),
        (("--network", "digits-2of8", "--nm", "2:8"), "--nm and --zeros go with --shape"),
        (("--network", "digits-2of8", "--tensor-words", 0), "tensor_words"),
        (("--network", "digits-2of8", "--tensor-words", 256), "build one with more tensor_words"),
        (("--network", "digits-2of8", "--preset", "tiny"), "the network is fp16"),
    ):
        code, text = heddle("explain", *options, "--device", "model")
        assert code == 1 and words in text, text
