"""The netlist after place and route, as nextpnr writes it, as Verilog to simulate.

nextpnr's cells are those that the bitstream configures: what is tied to a constant, inverted or
left open is said in parameters (``WEBMUX``: ``INV``), and is resolved here. The models of the cells
lie in ``cells/ecp5_routed.v``.
"""

import json
import re
from functools import cache
from pathlib import Path

from ...sw.flow.synthesis import HERE, SynthesisError

MODELS = HERE / "cells" / "ecp5_routed.v"
PINS = {
    "TRELLIS_COMB": ("A B C D M F1 FXA FXB FCI WCK WRE WD WAD0 WAD1 WAD2 WAD3", "F OFX FCO"),
    "TRELLIS_RAMW": (
        "A0 B0 C0 D0 A1 B1 C1 D1",
        "WADO0 WADO1 WADO2 WADO3 WDO0 WDO1 WDO2 WDO3",
    ),
    "TRELLIS_FF": ("CLK CE LSR DI M", "Q"),
    "DP16KD": (
        "CLKA CEA WEA CSA0 CSA1 CSA2 CLKB CEB WEB CSB0 CSB1 CSB2 ADA*14 ADB*14 DIA*18 DIB*18",
        "DOA*18 DOB*18",
    ),
    "MULT18X18D": ("SIGNEDA SIGNEDB A*18 B*18", "P*36"),
    "DCCA": ("CLKI CE", "CLKO"),
    "EHXPLLL": ("CLKI", "CLKOP CLKOS LOCK"),
}
"""The inputs and outputs that the models have; pins of several bits are numbered in the netlist."""
PARAMETERS = {
    "TRELLIS_COMB": ("MODE", "CCU2_INJECT1", "INITVAL"),
    "TRELLIS_FF": ("SD", "SRMODE", "REGSET"),
    "DP16KD": ("DATA_WIDTH_A", "DATA_WIDTH_B"),
}
EXPECTED = {
    "TRELLIS_FF": {"CLKMUX": "CLK"},
    "DP16KD": {
        "REGMODE_A": "NOREG",
        "REGMODE_B": "NOREG",
        "CSDECODE_A": "0b000",
        "CSDECODE_B": "0b000",
        "WEBMUX": "INV",
    },
    "MULT18X18D": dict.fromkeys(
        ("REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_PIPELINE_CLK", "REG_OUTPUT_CLK"), "NONE"
    ),
}
"""Settings that the models take for granted."""
TIED = {
    "MULT18X18D": "SOURCEA SOURCEB",
    "EHXPLLL": "CLKFB RST STDBY PLLWAKESYNC PHASESEL0 PHASESEL1 PHASEDIR PHASESTEP PHASELOADREG "
    "ENCLKOP",
}
"""Inputs that the models do without: constants, and the PLL's feedback."""
IDLE = {("TRELLIS_FF", "LSR"): "1'b0"}
"""What an open pin does; the others rest at one."""


def verilog(netlist: Path, name: str) -> str:
    """Verilog of nextpnr's netlist (``--write``) as module `name`, with the models of its cells.

    Raises `SynthesisError` for a cell or a setting that the models do not have.
    """
    (design,) = json.loads(netlist.read_text(encoding="utf-8"))["modules"].values()
    pads = {entry["bits"][0]: port for port, entry in design["ports"].items()}
    lines, wires = [], set()
    read = {net for entry in design["cells"].values() for net in _nets(entry, "input").values()}
    for number, (cell, entry) in enumerate(design["cells"].items()):
        driven = {pin: net for pin, net in _nets(entry, "output").items() if net in read}
        nets = _nets(entry, "input") | _nets(entry, "inout") | driven
        if entry["type"] == "TRELLIS_IO":
            lines.append(_pad(cell, entry["parameters"]["DIR"], nets, pads))
        else:
            lines.append(_instance(f"cell_{number}", cell, entry, nets))
        wires |= set(nets.values())
    ports = ", ".join(f"{e['direction']} {port}" for port, e in design["ports"].items())
    declared = [f"  wire {wire};" for wire in sorted(wires)]
    text = "\n".join([f"module {name}({ports});", *declared, *lines, "endmodule", ""])
    return MODELS.read_text(encoding="utf-8") + text


def _nets(entry: dict, direction: str) -> dict[str, str]:
    """The nets at a cell's pins of one direction."""
    pins = entry["port_directions"]
    return {p: f"n{n[0]}" for p, n in entry["connections"].items() if n and pins[p] == direction}


def _pad(cell: str, direction: str, nets: dict[str, str], pads: dict[int, str]) -> str:
    port = pads[int(nets["B"][1:])]
    if direction == "INPUT":
        return f"  assign {nets['O']} = {port};" if "O" in nets else ""
    if direction != "OUTPUT" or "T" in nets:
        raise SynthesisError(f"{cell}: there is no model of a pad of both directions")
    return f"  assign {port} = {nets.get('I', 1)};"


def _instance(label: str, cell: str, entry: dict, nets: dict[str, str]) -> str:
    """An instance of a cell's model; wires for outputs that lead nowhere are added to `nets`."""
    kind, settings = entry["type"], {k: v.strip() for k, v in entry["parameters"].items()}
    _check(cell, kind, settings, nets)

    def driver(pin: str) -> str:
        mux = settings.get(f"{pin}MUX", pin)
        if mux in ("0", "1"):
            return f"1'b{mux}"
        net = nets.get(pin, IDLE.get((kind, pin), "1'b1"))
        return f"~{net}" if mux == "INV" else net

    def driven(pin: str) -> str:
        return nets.setdefault(pin, f"{label}_{pin}")

    connections = []
    for pins, value in zip(PINS[kind], (driver, driven), strict=True):
        for pin, bits in _bits(pins).items():
            connections.append(f".{pin}({{{', '.join(value(bit) for bit in bits)}}})")
    values = {name: settings[name] for name in PARAMETERS.get(kind, ()) if name in settings}
    if kind == "TRELLIS_COMB" and "F1" in nets:
        values["JOINS"] = "LUTS"
    if kind == "DP16KD":
        values["CONTENT"] = _content(settings)
    given = ", ".join(f".{name}({_constant(text)})" for name, text in values.items())
    return f"  {kind} #({given}) {label} ({', '.join(connections)});"


def _check(cell: str, kind: str, settings: dict[str, str], nets: dict[str, str]) -> None:
    """Raises `SynthesisError` for what the models do not have."""
    if kind not in PINS:
        raise SynthesisError(f"there is no model of the cell {kind} ({cell})")
    for setting, want in EXPECTED.get(kind, {}).items():
        if settings.get(setting, want) != want:
            raise SynthesisError(f"{cell}: the model of {kind} needs {setting} = {want}")
    if strange := nets.keys() - _modelled(kind):
        raise SynthesisError(f"{cell}: the model of {kind} has no pin {', '.join(sorted(strange))}")
    if kind == "DP16KD":
        reads = any(pin.startswith("DOA") for pin in nets)
        if "WEB" in nets or (reads and int(settings["DATA_WIDTH_B"], 2) != 36):
            raise SynthesisError(f"{cell}: the model of {kind} writes at port A and reads at B")


def _bits(pins: str) -> dict[str, list[str]]:
    """Each of `pins` with the names of its bits, the highest first."""
    split = [pin.partition("*") for pin in pins.split()]
    return {
        name: [f"{name}{i}" for i in reversed(range(int(width)))] if width else [name]
        for name, _, width in split
    }


@cache
def _modelled(kind: str) -> set[str]:
    """The pins that may be connected."""
    bits = (bit for pins in PINS[kind] for names in _bits(pins).values() for bit in names)
    return {*bits, *TIED.get(kind, "").split()}


def _content(settings: dict[str, str]) -> str:
    """What a block RAM holds at the start, as bits: of every 20 in the bitstream, 18 are there."""
    given = "".join(settings.get(f"INITVAL_{i:02X}", "0" * 320) for i in reversed(range(64)))
    return "".join(given[at + 2 : at + 20] for at in range(0, len(given), 20))


def _constant(text: str) -> str:
    """Long strings of bits are numbers, everything else is text."""
    return f"{len(text)}'b{text}" if re.fullmatch("[01]{16,}", text) else f'"{text}"'
