"""What configurations there can be at all."""

from heddle.hw import config


def test_streams_are_as_wide_as_groups_and_lanes_make_them():
    # Groups of 8 or 16 elements of 4, 8 or 16 bits, in up to 16 lanes.
    assert {4, 8, 16, 32, 64, 128, 256, 512} == config.BEAT_BYTES
