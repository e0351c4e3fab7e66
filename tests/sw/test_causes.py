"""Where cycles go: every cause by a product made to have it, on the simulated device, with figures
worked out by hand; and all of them together are all the cycles."""

from types import SimpleNamespace

import numpy as np
import pytest

from heddle.hw.config import Config, preset
from heddle.hw.formats import INT8, OutputFormat
from heddle.sw.compiler import nm, packing
from heddle.sw.host import causes, driver
from heddle.sw.host.device import Device
from heddle.sw.report import explain as explaining
from heddle.sw.report.explain import explain, of_stats
from heddle.sw.transports.simulated import SimulatedTransport

CONFIG = Config("hide", 4, 4, INT8, activation_groups=128, weight_slots=256)
"""4 x 4, a group a beat. A word of activations is 4 beats; weights and indices are a cycle a slot
each. A command is 4 beats, and 3 cycles to judge, do and answer it: 7."""
HEADER = 7


@pytest.fixture(scope="module")
def device():
    with Device(SimulatedTransport(CONFIG)) as opened:
        yield opened


def product(device, shape, n: int | None = 8, output=OutputFormat.INT8, **options):
    """Weights that are n:8, or those given, and where the cycles of their product went."""
    rows, inner, outputs = shape
    rng = np.random.default_rng(4)
    w = rng.integers(1, 100, (inner, outputs)).astype(float)
    weights = packing.pack(nm.prune(w, n, 8), INT8, n, 8)
    x = rng.integers(-5, 6, (rows, inner)).astype(float)
    _, stats = driver.matmul(device, x, weights, output=output, **options)
    return weights, stats


def counted(stats) -> dict[str, int]:
    assert sum(stats.causes.values()) == stats.cycles
    assert min(stats.causes.values()) >= 0
    return {cause: cycles for cause, cycles in stats.causes.items() if cycles}


def test_work_is_all_there_is_but_filling(device):
    _, stats = product(device, (40, 64, 16))
    # Ten row blocks and four column blocks of 64 slots.
    assert set(counted(stats)) == {"work", "fill"}
    assert stats.causes["work"] == 10 * 4 * 64


def test_filling_is_the_way_through_the_array(device):
    """From the last slot to the last output; the same for every product that ends alike."""
    fills = {product(device, shape)[1].causes["fill"] for shape in ((4, 8, 4), (40, 64, 16))}
    (fill,) = fills
    # Four rows and columns, 15 stages of an epilogue, and four rows of a beat.
    assert 4 + 4 + 15 + 4 < fill < 48
    # FP32's rows are two beats.
    assert product(device, (4, 8, 4), output=OutputFormat.FP32)[1].causes["fill"] == fill + 4


def test_idle_rows_and_columns(device):
    _, stats = product(device, (6, 64, 16))
    # Two row blocks of 4 columns x 64 slots, of eight rows two are idle.
    assert stats.causes["rows_idle"] == 2 * 4 * 64 * 2 // 8
    _, stats = product(device, (8, 64, 9))
    # Three column blocks, the last with one column of four: 2 x 64 slots, three quarters idle.
    assert stats.causes["columns_idle"] == 2 * 64 * 3 // 4
    assert stats.causes["rows_idle"] == 0


def test_the_fullest_column(device):
    w = np.zeros((64, 8))
    w[::8] = 1  # one of eight in every column
    w[1::8, 2] = w[2::8, 2] = w[3::8, 2] = 1  # but four in one
    weights = packing.pack(w, INT8, None)
    x = np.ones((80, 64))
    explained = explain(device, x, weights, output=OutputFormat.FP32)
    # Of two column blocks one issues 4 slots a group, 7 of 16 places with a weight; the other one.
    assert explained.causes["columns_uneven"] == 20 * 8 * 4 * 9 // 16
    assert explained.causes["work"] == 20 * (8 * 4 * 7 // 16 + 8)
    assert explained.largest == "columns_uneven"
    assert "keeps 2.50 of 8, the mean 1.38" in explained.advice


def test_the_drain_chain(device):
    # 1:8 of one group: a slot a tile, and four cycles to drain it. Of 40 tiles 39 wait.
    _, stats = product(device, (160, 8, 4), 1)
    assert stats.causes["work"] == 40
    assert stats.causes["drain"] == 39 * 3


def test_the_way_out(device):
    # As before, but a row of FP32 is two beats, so a tile's are eight; 100 tiles of one slot wait
    # for all of them but the last one's.
    weights, stats = product(device, (400, 8, 4), 1, OutputFormat.FP32)
    assert stats.causes["work"] == 100
    waited = stats.causes["drain"] + stats.causes["output"]
    assert waited == pytest.approx(99 * 8 - 100, 0.02)
    # Until the buffers are full, the drain chain is slower: three cycles a tile.
    assert stats.causes["output"] > stats.causes["drain"]
    assert of_stats(CONFIG, weights, stats, "p").largest == "output"


def test_settings(device):
    shape = (4, 64, 200)
    _, plain = product(device, shape, 1)
    _, biased = product(device, shape, 1, bias=np.arange(200.0))
    # Fifty column blocks, each with four commands of its own, the first before anything runs; one
    # of their cycles hides behind the eight slots of a RUN, whose own command takes seven.
    waited = 49 * (4 * HEADER - 1)
    assert biased.causes["settings"] == pytest.approx(waited, 0.05)
    # The same by the device: what it takes without.
    assert biased.cycles - plain.cycles == pytest.approx(waited, 0.02)
    assert plain.causes["settings"] == 0


def test_the_host(device):
    # A batch of one row block: 200 column blocks of 32 slots, eight of them in a page.
    _, stats = product(device, (4, 64, 800), 4)
    assert stats.causes["work"] == 200 * 32
    # Two pages are full before anything runs; after that every eight blocks come through the
    # stream as weights, indices and RUNs.
    stream = 2 * 8 * HEADER + (200 - 16) / 8 * (2 * 256 + 2 * HEADER + 8 * HEADER)
    assert stats.causes["host"] == pytest.approx(stream - 200 * 32, 0.1)
    waited = stats.stalls["host"] + stats.stalls["schedule"]
    assert stats.causes["host"] == pytest.approx(waited, 0.01)
    assert max(counted(stats), key=counted(stats).__getitem__) == "host"


def test_pages(device):
    """K in two parts of 256 slots, each a page: one is loaded while the other is worked on."""
    weights, stats = product(device, (8, 1024, 32), 4)
    # Weights and indices of a part are 512 cycles and two headers; the other one's work is 256.
    # Eight column blocks change seven times; two row blocks work on each for 1024 cycles. With
    # room for more, only what the stream is too slow for would be waited for.
    load = 2 * 256 + 2 * HEADER
    stream = 2 * load + 4 * HEADER - 1024
    assert stats.causes["pages"] == pytest.approx(7 * (2 * (load - 256) - stream), 0.05)
    assert of_stats(CONFIG, weights, stats, "p").setting == "weight_slots = 512"


def test_a_device_without_counters_has_no_causes():
    weights = packing.pack(np.ones((8, 4)), INT8, 8)
    nothing = dict.fromkeys(("cycles", "stall_drain"), 0)
    assert causes.split(CONFIG, 4, weights, OutputFormat.FP32, nothing, {}) == {}


@pytest.mark.parametrize("seed", range(12))
def test_causes_are_all_cycles(device, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(rng.integers(1, most)) for most in (50, 400, 30))
    bias = rng.integers(-9, 9, shape[2]) if seed % 2 else None
    output = OutputFormat(int(rng.integers(3)))
    w = np.where(rng.random(shape[1:]) < 0.4, rng.integers(1, 9, shape[1:]), 0).astype(float)
    x = rng.integers(-9, 9, shape[:2]).astype(float)
    weights = packing.pack(w, INT8)
    _, stats = driver.matmul(device, x, weights, bias=bias, output=output)
    done = counted(stats)
    assert abs(done["work"] - np.count_nonzero(w) * shape[0] / 16) <= 1
    waited = ("drain", "output", "settings", "pages", "host")
    assert sum(stats.causes[cause] for cause in waited) >= sum(stats.stalls.values()) - 1
    assert stats.causes["drain"] == stats.stalls["drain"]
    assert done["fill"] < 60


def test_the_pages_that_are_advised():
    """40 rows of 10 groups are 5 row blocks: two pages of three, 30 groups, hold them."""
    config = preset("small", activation_groups=16)
    weights = packing.pack(np.ones((80, 8)), config.format, 8, 8)
    stats = SimpleNamespace(shape=(40, 80, 8))
    setting, why = explaining._advice(config, weights, stats, "pages")
    assert setting == "activation_groups = 32"
    assert why.startswith("40 rows of 80 do not fit into two pages of 16 groups")
