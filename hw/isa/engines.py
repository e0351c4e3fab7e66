"""Engines: what works on its own through a queue of descriptors, and how these wait for each other.

A descriptor goes to its engine's queue in the order of the program and is worked on in its turn.
For each engine it may name a number n: it then begins only when all but the last n of those that
came to that engine before it have been finished. So it can wait for nothing that comes later, and
a program cannot stand still.
"""

from enum import IntEnum


class Engine(IntEnum):
    """An engine's place among the waits and the counts."""

    FILL = 0
    """Weights and group records from tensor memory (`descriptors.Fill`)."""
    ROWS = 1
    """Activations from tensor memory (`descriptors.Rows`)."""
    ARRAY = 2
    """RUNs: finished when the buffers have been read."""
    STORE = 3
    """RUNs that store: finished when their rows are in tensor memory."""
    VECTOR = 4
    """Programs of the vector unit (`descriptors.Vector`), and PRUNEs, which have their turn there:
    finished when all is written."""
    COPY = 5
    """Between external and tensor memory (`descriptors.Copy`), and the host's words of the
    former."""


PLACES = 6
"""Engines that there is room for: in a descriptor's `waits`, and where they are counted."""


WAIT_BITS = 5
"""For each engine in a descriptor's `waits`: 0, or one more than those that need not be done."""
MOST_LEFT = (1 << WAIT_BITS) - 2
WAITS_BITS = PLACES * WAIT_BITS
"""Of the field."""


def after(left: dict[Engine, int]) -> int:
    """The field `waits`: all but so many of each engine's earlier descriptors must be finished.

    Raises `ValueError` for a number that the field has no room for: a smaller one waits longer.
    """
    waits = 0
    for engine, number in left.items():
        if not 0 <= number <= MOST_LEFT:
            raise ValueError(f"{engine.name}: all but {number} is not from 0 to {MOST_LEFT}")
        waits |= (number + 1) << WAIT_BITS * engine
    return waits
