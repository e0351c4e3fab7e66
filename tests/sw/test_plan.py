"""The order of a product's commands: what is loaded how often, and that loads hide behind work."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import Accumulation, Config
from heddle.hw.formats import FP16, INT8, OutputFormat
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler import nm, packing, plan
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.settings import settings_of
from heddle.sw.host import driver
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import compare
from heddle.sw.transports.simulated import SimulatedTransport

from .plan_checker import ACTIVATIONS, INDICES, LOAD, RUN, SCHEDULE, SETTINGS, VALUES, Checker

SMALL = Config("small", 4, 4, FP16, activation_groups=32, weight_slots=64, schedule_records=32)
CYCLES = {ACTIVATIONS: 4, SCHEDULE: 1, INDICES: 1, VALUES: 1}
"""A word of SMALL: four groups are as many beats; four indices and four weights are one chunk."""


def commands(config, rows, inner, outputs, n=8, bias=False) -> Checker:
    """The checked commands of a product."""
    rng = np.random.default_rng(3)
    w = nm.prune(1 + rng.random((inner, outputs)), n, 8)
    weights = packing.pack(w, config.format, n, 8)
    x = to_raw(np.ones((rows, inner)), config.format)
    settings = settings_of(config, outputs, rng.random(outputs) if bias else None)
    made = plan.Plan(config, x, weights, settings, False, OutputFormat.FP32)
    return Checker(config, CYCLES).execute(made.packets()[0])


def test_what_fits_is_loaded_once():
    # 4 blocks of rows x 8 groups fill a page; 8 column blocks x 64 slots need eight.
    done = commands(SMALL, 16, 64, 32)
    assert done.words(ACTIVATIONS) == 4 * 8
    assert done.words(VALUES) == 8 * 64
    # Of dense weights all indices and records are alike: once for each page.
    assert done.words(INDICES) == 2 * 64
    assert done.words(SCHEDULE) == 2 * 8


def test_indices_that_differ_are_loaded():
    done = commands(SMALL, 16, 64, 32, n=2)
    # 8 column blocks of 16 slots: two batches of four; each page's records are alike.
    assert done.words(INDICES) == done.words(VALUES) == 8 * 16
    assert done.words(SCHEDULE) == 2 * 4 * 8


def test_rows_stay_while_k_is_split():
    # K = 192 is three parts of 8 groups for the weights, and 24 groups of activations in a page.
    done = commands(SMALL, 8, 192, 16)
    assert done.words(ACTIVATIONS) == 2 * 24
    # Of four column blocks each has three parts for its first row block; for the second one, there
    # and back, two of them are there.
    assert done.words(VALUES) == 4 * (3 + 1) * 64


def test_rows_that_need_both_pages_stay():
    # K = 512 is 64 groups: both pages hold one row block. Two row blocks, four column blocks.
    done = commands(SMALL, 8, 512, 16)
    assert done.words(ACTIVATIONS) == 2 * 64


def test_binary32_sums_keep_their_order():
    """Each addition rounds, so the parts of K come from first to last for every tile."""
    config = replace(
        SMALL, accumulation=Accumulation.FP32, interleave=5, weight_slots=64, rows=2, columns=1
    )
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((6, 40)), rng.standard_normal((40, 12))
    with Device(ModelTransport(config)) as device:
        compare(device, x, packing.pack(w, FP16, 8, 8))


@pytest.mark.parametrize("inner", [64, 128, 192, 320])
@pytest.mark.parametrize("n", [8, 2])
def test_pages_are_filled_and_not_left(inner, n):
    """No command leaves a page (the checker sees to it), and no fewer parts or batches would do."""
    config = SMALL
    done = commands(config, 12, inner, 40, n)
    slots = inner * n // 8
    tiles = [run for run in done.of(RUN)]
    if slots > config.weight_slots:
        parts = -(-slots // config.weight_slots)
        assert len(tiles) == parts * 3 * 10
        assert sum(run["finish"] for run in tiles) == 3 * 10
        # Of equal length, so that one loads while the other is worked on.
        assert {run["slots"] for run in tiles} <= {8 * n, slots // parts, slots - slots // parts}
    else:
        # A batch is as many column blocks as a page has room for. Three row blocks of 24 groups are
        # three panels: the third comes after the others, and finds two batches in the pages.
        per_page = config.weight_slots // slots
        batches = -(-10 // per_page)
        assert done.words(VALUES) == (10 if inner < 192 else 10 + 10 - 2 * per_page) * slots
        pages = [load["address"] // 64 for load in done.of(LOAD) if load["target"] == VALUES]
        turns = 1 + sum(a != b for a, b in zip(pages, pages[1:], strict=False))
        assert turns == batches or inner == 192


@pytest.mark.parametrize(
    ("shape", "n", "share"),
    [
        # Both pages of activations stay: 8 row blocks x 64 slots hide the next 64.
        ((32, 64, 64), 8, 0.01),
        # More panels than pages: 4 row blocks x 16 column blocks x 64 slots hide 32 groups x 4.
        ((160, 64, 64), 8, 0.01),
        # Weights and indices of 16 slots each, used by 8 row blocks.
        ((32, 64, 64), 2, 0.03),
    ],
)
def test_loads_are_spread(shape, n, share):
    """By the checker's own clock the array hardly waits for its commands."""
    done = commands(SMALL, *shape, n)
    assert done.waited <= share * done.worked, (done.waited, done.worked)


def test_loads_are_spread_over_many_runs():
    """A batch is 32 RUNs of eight blocks of rows with 8 slots each: 64 cycles, and 5 for its
    command. The next batch's 256 weights and indices do not hide behind the last two of them."""
    config = replace(
        SMALL, weight_slots=256, schedule_records=256, activation_groups=64, runs_ahead=2
    )
    done = commands(config, 32, 64, 4 * 32 * 4, n=1)
    assert done.worked == 4 * 32 * 64
    assert done.waited <= 0.01 * done.worked, done.waited


@pytest.mark.parametrize(
    ("sizes", "groups", "runs", "slots"),
    [
        # One slot a group: a tile of 65 slots is two parts, five of 13 are two batches.
        ({"weight_slots": 64}, 65, 2 * 5, 5 * 65),
        ({"weight_slots": 64}, 13, 5, 5 * 13),
        ({"schedule_records": 64}, 65, 2 * 5, 5 * 65),
        ({"schedule_records": 64}, 13, 5, 5 * 13),
        ({"activation_groups": 64}, 65, 2 * 5, 5 * 65),
    ],
)
def test_one_too_many_for_a_page(sizes, groups, runs, slots):
    large = {"activation_groups": 128, "weight_slots": 128, "schedule_records": 128}
    done = commands(replace(SMALL, **large | sizes), 4, 8 * groups, 20, n=1)
    assert len(done.of(RUN)) == runs and done.words(VALUES) == slots


def test_parts_of_k_load_while_the_other_is_worked_on():
    """Two parts of 192 slots, four row blocks: each part's first tile waits for a header or two."""
    config = replace(SMALL, activation_groups=256, weight_slots=256, schedule_records=64)
    done = commands(config, 16, 384, 64)
    assert {run["slots"] for run in done.of(RUN)} == {192}
    assert done.words(VALUES) == 16 * 384
    # Sixteen column blocks of two parts; a part's load has a header of 22, and so has its RUN.
    assert done.waited <= 16 * 2 * (22 + 22)


def test_settings_stay():
    """As many column blocks as there are pages keep their settings; the panels come again."""
    config = replace(SMALL, settings_pages=8)
    done = commands(config, 160, 64, 32, bias=True)
    # 40 row blocks are ten panels for eight column blocks of four columns.
    assert len(done.of(SETTINGS)) == 32
    assert {run["settings"] for run in done.of(RUN)} == set(range(8))


def test_settings_do_not_wait_for_the_run_before():
    """With more column blocks than pages, the page of the RUN just before is never sent anew."""
    for pages in (2, 4):
        done = commands(replace(SMALL, settings_pages=pages), 160, 64, 64, n=2, bias=True)
        last = None
        for opcode, fields in done.commands:
            if opcode == RUN:
                last = fields["settings"]
            if opcode == SETTINGS and last is not None:
                assert fields["page"] != last
        # The first pages but two keep what they have.
        sent = [fields["page"] for fields in done.of(SETTINGS)]
        assert all(sent.count(page) == 4 for page in range(pages - 2))


def test_one_setting_for_all_is_sent_once():
    done = commands(SMALL, 160, 64, 64)
    assert [fields["column"] for fields in done.of(SETTINGS)] == [0xFFFF]


def test_loads_hide_behind_the_work():
    """Rows that do not fit whole, weights in several batches: the array hardly waits."""
    config = Config("hide", 4, 4, INT8, activation_groups=128, weight_slots=256)
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (160, 64)).astype(np.int8)
    w = rng.integers(-128, 128, (64, 64)).astype(np.int8)
    with Device(SimulatedTransport(config)) as device:
        _, stats = driver.matmul(device, x, packing.pack(w, INT8, 8, 8))
    assert stats.stalls["host"] + stats.stalls["schedule"] < 0.02 * stats.cycles
