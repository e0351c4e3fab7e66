"""Cycles at a clock: times, and multiplications a second."""


def milliseconds(cycles: int, mhz: float) -> float:
    """How long so many cycles take."""
    return cycles / (1000 * mhz)


def gmacs(macs: int, cycles: int, mhz: float) -> float:
    """Multiplications a second, in 10⁹ (GMAC/s), of `macs` that took so many cycles."""
    return macs * mhz / (1000 * cycles)
