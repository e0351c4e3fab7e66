"""What goes wrong for reasons that a user can do something about."""


class HeddleError(Exception):
    """The base of all of them; the message says what was wrong and what to do."""


class FormatError(HeddleError):
    """An array or packed weights that cannot be used: rank, shape, type, values, pattern."""


class DeviceError(HeddleError):
    """A device that cannot be opened, does not answer, or answers with an error."""


class DataError(HeddleError):
    """A data set or a file that is missing, damaged, of another version, or cannot be written."""
