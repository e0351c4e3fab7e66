"""Where a board's signals are: from amaranth-boards, or from a file in `constraints/`."""

import importlib
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

from amaranth.build import Attrs, Pins

from ..config import ConfigError
from .boards import Board

WIRES = Path(__file__).resolve().parents[2] / "constraints"
"""Folder of the pins that amaranth-boards does not name: wires to a header, for example."""


@dataclass(frozen=True)
class Pin:
    """One port of the top level on the board."""

    site: str
    invert: bool = False
    attributes: dict = field(default_factory=dict)


def _resource(platform, name: str, number: int = 0):
    for resource in platform.resources:
        if (resource.name, resource.number) == (name, number):
            return resource
    raise ConfigError(f"amaranth-boards' {platform.__name__} has no {name} {number}")


def _pin(pins: Pins, *attributes: Attrs) -> Pin:
    (site,) = pins.names
    merged = {name: value for attrs in attributes for name, value in attrs.items()}
    return Pin(site, pins.invert, merged)


def platform_of(board: Board):
    """The board's class in amaranth-boards; raises `ConfigError` if that is not installed."""
    module, _, name = board.platform.partition(":")
    try:
        return getattr(importlib.import_module(f"amaranth_boards.{module}"), name)
    except ImportError:
        raise ConfigError("pins come from amaranth-boards: pip install 'heddle[fpga]'") from None


def clock_hz(board: Board) -> float:
    """Frequency of the board's oscillator."""
    platform = platform_of(board)
    return _resource(platform, platform.default_clk).clock.frequency


def pins(board: Board) -> dict[str, Pin]:
    """The pins of a board's `clk`, `rx` and `tx`, of the LEDs `busy` and `error` that it has, and
    of what is held high (`held_high`)."""
    platform = platform_of(board)
    clock = _resource(platform, platform.default_clk)
    found = {"clk": _pin(clock.ios[0], clock.attrs)}
    if board.wires:
        found |= _wires(WIRES / board.wires)
    else:
        uart = _resource(platform, "uart")
        for line in uart.ios:
            if line.name in ("rx", "tx"):
                found[line.name] = _pin(line.ios[0], uart.attrs, line.attrs)
    for number, (name, colour) in enumerate((("busy", "g"), ("error", "r"))):
        led = _led(platform, colour, number)
        if led is not None:
            found[name] = led
    for port, (name, signal) in held_high(board).items():
        resource = _resource(platform, name)
        (line,) = (line for line in resource.ios if line.name == signal)
        found[port] = _pin(line.ios[0], resource.attrs, line.attrs)
    for port, attributes in board.attributes.items():
        found[port] = replace(found[port], attributes=found[port].attributes | dict(attributes))
    return found


def held_high(board: Board) -> dict[str, tuple[str, str]]:
    """The ports that stay high, with amaranth-boards' resource and signal."""
    split = (name.partition(".") for name in board.held_high)
    return {f"{resource}_{signal}": (resource, signal) for resource, _, signal in split}


def _led(platform, colour: str, number: int) -> Pin | None:
    """A board's LED of that colour, alone or in its first coloured one, else of that number."""
    resources = {(resource.name, resource.number): resource for resource in platform.resources}
    if rgb := resources.get(("rgb_led", 0)):
        (line,) = (line for line in rgb.ios if line.name == colour)
        return _pin(line.ios[0], rgb.attrs, line.attrs)
    led = resources.get((f"led_{colour}", 0)) or resources.get(("led", number))
    return led and _pin(led.ios[0], led.attrs)


def _wires(file: Path) -> dict[str, Pin]:
    """Pins by port, from a file of ours. Raises `ConfigError` if it is missing or damaged."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        return {port: Pin(table.pop("site"), attributes=table) for port, table in tables.items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError) as reason:
        raise ConfigError(f"{file}: no pins to be read here ({reason})") from None
