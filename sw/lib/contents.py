"""Records that hold arrays, compared by what is in them."""

from dataclasses import fields

import numpy as np


class Contents:
    """Equality and hash of a dataclass (made with ``eq=False``) by all its fields, arrays by type,
    shape and elements."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _key(self) == _key(other)

    def __hash__(self) -> int:
        return hash(_key(self))


def _key(record) -> tuple:
    return tuple(_plain(getattr(record, field.name)) for field in fields(record))


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return tuple(map(_plain, value)) if isinstance(value, list) else value
