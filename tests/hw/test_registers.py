"""The register map, and the configuration that a device's constants describe."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from heddle.hw.config import PRESETS, Accumulation, Config, ConfigError
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa import registers
from heddle.hw.isa.engine_counters import engine_counters
from heddle.hw.isa.registers import ADDRESS, NARROW, WIDE, config_from, constants, kept

SMALL = PRESETS["small"]
OTHER = Config(
    *("other", 6, 4, FP16),
    group=16,
    accumulation=Accumulation.FP32,
    interleave=5,
    columns_per_epilogue=2,
    lanes=2,
    activation_groups=16,
    weight_slots=128,
    schedule_records=32,
    settings_pages=4,
    runs_ahead=3,
    compact=True,
)


def test_addresses_are_those_of_the_page():
    page = (Path(__file__).parents[2] / "docs" / "registers.md").read_text()
    told = {name: int(at, 16) for at, name in re.findall(r"\| (0x\w{2,3}) \| `(\w+)`", page)}
    assert told == ADDRESS
    assert ADDRESS["magic"] == 0 and ADDRESS["control"] == 0x20 and ADDRESS["flags"] == 0x28


@pytest.mark.parametrize("config", [*PRESETS.values(), OTHER], ids=lambda c: c.name)
def test_a_device_tells_its_whole_configuration(config):
    assert config_from(constants(config), config.name) == config


def test_words_are_packed_as_the_page_says():
    told = constants(OTHER)
    assert told["magic"] == 0x48444C45 and told["array"] == 6 | 4 << 16
    assert told["format"] == 1 | 1 << 8 | 16 << 16 | 5 << 24
    # The highest bit says that there are counters: a compact device has none.
    assert told["stream"] == 2 | 2 << 8 | 96 << 16 | 3 << 24
    assert constants(replace(OTHER, compact=False))["stream"] == told["stream"] | 1 << 31


@pytest.mark.parametrize("word", [6, 1 | 2 << 8, 255], ids=hex)
def test_a_format_of_a_later_release_is_told(word):
    read = constants(SMALL) | {"format": word | 8 << 16 | 1 << 24}
    with pytest.raises(ConfigError, match="is not known to this release, whose formats are int8"):
        config_from(read, "board")


def test_what_is_counted():
    small = Config("few", 2, 2, INT8, compact=True)
    assert kept(small) == ("commands", "errors") and kept(SMALL) == (*WIDE, *NARROW)
    engines = set(ADDRESS) - {register.name for register in registers.FIRST}
    assert min(ADDRESS[name] for name in engines) == 0x100 and not engine_counters(small)
    assert set(engine_counters(replace(SMALL, external_bits=32))) == engines
    without = {name for name in engines if "copy" in name or "external" in name}
    assert set(engine_counters(SMALL)) == engines - without
    high = {name for name in ADDRESS if name.endswith("_high")}
    assert high == {f"{name}_high" for name in WIDE}
    assert set(WIDE) | set(NARROW) < set(ADDRESS) and registers.VERSION >> 16 == 2
