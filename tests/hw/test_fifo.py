"""Queues that there cannot be."""

import pytest

from heddle.hw.lib.fifo import Fifo


@pytest.mark.parametrize("depth", [1, -1])
def test_a_queue_holds_nothing_or_several(depth):
    with pytest.raises(ValueError, match=f"no payload or at least 2, not {depth}"):
        Fifo(8, depth)
    assert Fifo(8, 0).depth == 0 and Fifo(8, 2).depth == 2
