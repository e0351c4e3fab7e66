"""What goes wrong for reasons that a user can do something about: the base, and what hardware adds.

A leaf, so that hardware, simulation and host share one base.
"""

from collections.abc import Iterable


def one_of(values: Iterable) -> str:
    """``a, b or c``, for messages."""
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


class HeddleError(Exception):
    """The base of all of them; the message says what was wrong and what to do."""


class ConfigError(HeddleError, ValueError):
    """A configuration that cannot be built; the message says which field and what it may be."""
