"""What goes wrong for reasons that a user can do something about."""

from ..hw.errors import ConfigError, HeddleError

__all__ = [
    "ConfigError",
    "DataError",
    "DeviceError",
    "FormatError",
    "HeddleError",
    "PrecisionWarning",
]


class FormatError(HeddleError):
    """An array or packed weights that cannot be used: rank, shape, type, values, pattern."""


class DeviceError(HeddleError):
    """A device that cannot be opened, does not answer, or answers with an error."""


class DataError(HeddleError):
    """A data set or a file that is missing, damaged, of another version, or cannot be written."""


class PrecisionWarning(UserWarning):
    """Weights that a format is too coarse for: many that are not zero become zero in it."""
