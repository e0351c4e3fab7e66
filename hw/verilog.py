"""Standalone Verilog of a component, and of the whole accelerator with its description."""

import json

from amaranth import Value
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .config import Config
from .library import Library
from .registers import ADDRESS, REGISTERS, constants

TOP = "heddle"
"""Name of the accelerator's top module."""


def convert(component: wiring.Component, name: str, library: Library | None = None) -> str:
    """Verilog of `component` as module `name`, with the modules of `library` that it needs.

    The component must have been constructed with the same `library`. Ports keep their names,
    joined by two underscores (``i__valid``); a component with registers also has `clk` and
    `rst` (synchronous, active high). What a library holds must have registers.
    """
    texts = [verilog.convert(component, name=name, emit_src=False)]
    # Converting a module may need further ones, which are added at the end.
    converted: set[str] = set()
    while library and (missing := [m for m in library.modules if m not in converted]):
        for module in missing:
            texts.append(verilog.convert(library.modules[module], name=module, emit_src=False))
            converted.add(module)
    return "\n".join(texts)


def ports(component: wiring.Component) -> dict[str, tuple[str, int]]:
    """Direction ("input", "output") and width of the ports of its Verilog, by name."""
    found = {"clk": ("input", 1), "rst": ("input", 1)}
    for path, member, value in component.signature.flatten(component):
        name = "__".join(str(part) for part in path)
        found[name] = ("input" if member.flow is In else "output", len(Value.cast(value)))
    return found


def generate(config: Config) -> str:
    """Verilog of the whole accelerator for `config`; the top module is `heddle`."""
    from .top import Accelerator  # here, so that tests of one block need only that block

    library = Library()
    return convert(Accelerator(config, library), TOP, library)


def describe(config: Config) -> dict:
    """Ports, register map and configuration of the accelerator, as plain values for JSON."""
    from .top import Accelerator

    constant = constants(config)
    registers = [
        {
            "name": register.name,
            "address": ADDRESS[register.name],
            "access": register.access.value,
            "text": register.text,
            **({"value": constant[register.name]} if register.name in constant else {}),
        }
        for register in REGISTERS
    ]
    return {
        "top": TOP,
        "configuration": config.describe(),
        "ports": [
            {"name": name, "direction": direction, "width": width}
            for name, (direction, width) in ports(Accelerator(config)).items()
        ],
        "registers": registers,
    }


def texts(config: Config) -> dict[str, str]:
    """``<name>.v`` and, to be beside it, ``<name>.json`` (see `describe`), by file name."""
    return {
        f"{config.name}.v": generate(config),
        f"{config.name}.json": json.dumps(describe(config), indent=2) + "\n",
    }
