"""Rows of measurements, and which of them are asked for."""


def row(prefix: str, what: str, value: float, target: float | None = None, note: str = "") -> dict:
    """A speed-up, or a share; more is better."""
    return {
        "name": f"{prefix}.{what}",
        "value": value,
        "unit": "x" if what.startswith("speedup") or what.endswith("speedup") else "share",
        "target": target,
        "better": "higher",
        "note": note,
    }


def cost(name: str, value: float, unit: str, target: float | None = None, note: str = "") -> dict:
    """What less is better of."""
    made = {"name": name, "value": value, "unit": unit, "target": target}
    return made | {"better": "lower", "note": note}


def wanted(prefix: str, only: str) -> bool:
    """Whether rows that begin with `prefix` may be among those that begin with `only`."""
    return prefix.startswith(only) or only.startswith(prefix)
