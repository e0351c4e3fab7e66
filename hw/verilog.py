"""Standalone Verilog of a component, and of the whole accelerator with its description."""

import json
import re

from amaranth import Value
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .config import Config
from .isa.registers import ADDRESS, REGISTERS, constants
from .lib.library import Library
from .lib.verilog_lint import waivers
from .lib.verilog_names import TOP, check_names, port_name

EMPTY = re.compile(r"^  (?:input|output|wire|reg) (?:signed )?\[-1:0\] (\\\S+|\w+) ?;\n", re.M)
"""A declaration of no bits as Yosys writes it: in Verilog it would be two."""

FOUR_STATES = (
    # What a memory's read port holds is unknown until the first read. Zero times unknown is
    # unknown, and a bubble's activation is what was read last; on a chip it is some number.
    (re.compile(r"^  reg (?:\[\d+:0\] )?(_\d+_);\n", re.M), r"  initial \1 = 0;\n"),
    # What is combinational is formed when something changes, this at the latest: SystemVerilog
    # gives a variable its initial value before anything waits for a change.
    (
        re.compile(r"^  reg (\\\$auto\$verilog_backend\S+) += 0;\n", re.M),
        "`ifndef VERILATOR\n  initial \\1 <= 1;\n`endif\n",
    ),
)
"""Declarations as Yosys writes them, and what goes below them for simulators that know unknowns."""


def convert(component: wiring.Component, name: str, library: Library | None = None) -> str:
    """Verilog of `component` as module `name`, with the modules of `library` that it needs.

    The component must have been constructed with the same `library`. Ports keep their names,
    joined by two underscores (``i__valid``); a component with registers also has `clk` and
    `rst` (synchronous, active high). What a library holds must have registers.
    """
    texts = [_converted(component, name)]
    # Converting a module may need further ones, which are added at the end.
    converted: set[str] = set()
    while library and (missing := [m for m in library.modules if m not in converted]):
        for module in missing:
            texts.append(_converted(library.modules[module], module))
            converted.add(module)
    return "\n".join(texts)


def _converted(component: wiring.Component, name: str) -> str:
    """Verilog of `component` and its submodules, for synthesis and for any simulator."""
    text = verilog.convert(component, name=name, emit_src=False)
    paths = [path for path, _, _ in component.signature.flatten(component)]
    names = {"__".join(map(str, p)): port_name(component.signature, p) for p in paths}
    # As Amaranth calls them, to what they are called: only a bus of AMBA's is called otherwise.
    if names := {given: name for given, name in names.items() if given != name}:
        text = re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[0]], text)
    for declaration, more in FOUR_STATES:
        text = declaration.sub(rf"\g<0>`ifndef SYNTHESIS\n{more}`endif\n", text)
    return re.sub(r"^module .*?^endmodule", lambda m: _without_empty(m[0]), text, flags=re.M | re.S)


def _without_empty(module: str) -> str:
    """The text of `module` without wires and ports that have no bits; nothing refers to them."""
    empty = set(EMPTY.findall(module))
    head, body = EMPTY.sub("", module).split(");", 1)
    name, ports = head.split("(", 1)
    kept = [port for port in ports.split(", ") if port.strip() not in empty]
    return f"{name}({', '.join(kept)});{body}"


def ports(signature: wiring.Signature) -> dict[str, tuple[str, int]]:
    """Direction ("input", "output") and width of the ports of the Verilog of a component that has
    this signature, by name."""
    found = {"clk": ("input", 1), "rst": ("input", 1)}
    for path, member, value in signature.flatten(signature.create()):
        direction = "input" if member.flow is In else "output"
        found[port_name(signature, path)] = (direction, len(Value.cast(value)))
    return found


def generate(config: Config, top: str = TOP, prefix: str = "") -> str:
    """Verilog of the whole accelerator for `config`.

    Its top module is `top`, and parts of it are called ``top.part``; the modules that occur many
    times have `prefix` before their names. Raises `ConfigError` for what is no such name.
    """
    from .top import Accelerator  # here, so that tests of one block need only that block

    check_names(top, prefix)
    library = Library(prefix)
    text = convert(Accelerator(config, library), top, library)
    check_names(top, prefix, library.modules)
    return text


def describe(config: Config, top: str = TOP, prefix: str = "") -> dict:
    """Ports, register map and configuration of the accelerator, as plain values for JSON."""
    from .top import signature

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
        "top": top,
        "prefix": prefix,
        "configuration": config.describe(),
        "ports": [
            {"name": name, "direction": direction, "width": width}
            for name, (direction, width) in ports(signature(config)).items()
        ],
        "registers": registers,
    }


def stem(config: Config, top: str = TOP) -> str:
    """What the names of the files begin with: the configuration's name, or that of the top."""
    return config.name if top == TOP else top


def texts(config: Config, top: str = TOP, prefix: str = "") -> dict[str, str]:
    """``.v`` and, to be beside it, ``.json`` (see `describe`) and ``.vlt``, Verilator's waivers
    with their reasons, by file name. Raises `ConfigError` as `generate` does."""
    name = stem(config, top)
    return {
        f"{name}.v": generate(config, top, prefix),
        f"{name}.json": json.dumps(describe(config, top, prefix), indent=2) + "\n",
        f"{name}.vlt": waivers(f"{name}.v"),
    }
