"""What configurations there can be at all."""

import pytest

from heddle.hw import config
from heddle.hw.errors import ConfigError, one_of
from heddle.hw.formats import INT4


def test_streams_are_as_wide_as_groups_and_lanes_make_them():
    # Groups of 4, 8 or 16 elements of 4, 8 or 16 bits, in up to 16 lanes; 2 bytes are too few.
    assert {4, 8, 16, 32, 64, 128, 256, 512} == config.BEAT_BYTES


def test_a_beat_that_is_too_narrow():
    with pytest.raises(ConfigError, match="lanes must be more: a beat has at least 4 bytes"):
        config.Config("narrow", 4, 4, INT4, group=4)
    assert config.Config("wide", 4, 4, INT4, group=4, lanes=2).stream_bytes == 4


def test_lists_of_what_may_be():
    assert (one_of([4]), one_of([4, 8]), one_of((4, 8, 16))) == ("4", "4 or 8", "4, 8 or 16")
