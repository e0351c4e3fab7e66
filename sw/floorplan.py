"""Give the multipliers of a netlist their places on the chip."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from .toolchain import BuildError

MULTIPLIERS = ("MULT18X18D",)
ELEMENT = re.compile(r"\bpe_(\d+)_(\d+)\b")


def place(netlist: Path, top: str, places: Mapping[tuple[int, int], str]) -> None:
    """Write into `netlist` (Yosys' JSON) where the multiplier of each processing element lies.

    `places` names, by row and column, nextpnr's site. A multiplier belongs to the processing
    element in whose nets its product ends; others are left to the placer. Raises `BuildError` if
    a processing element has not just one.
    """
    design = json.loads(netlist.read_text())
    module = design["modules"][top]
    owners: dict[int, set[tuple[int, int]]] = {}
    for name, net in module["netnames"].items():
        if found := ELEMENT.search(name):
            for bit in net["bits"]:
                owners.setdefault(bit, set()).add((int(found[1]), int(found[2])))
    placed = set()
    for cell in module["cells"].values():
        if cell["type"] not in MULTIPLIERS:
            continue
        outputs = [
            bit
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for bit in bits
        ]
        owner = set().union(*(owners.get(bit, ()) for bit in outputs))
        if not owner:
            continue
        if len(owner) > 1 or owner & placed:
            raise BuildError(f"a multiplier too many for the processing elements {sorted(owner)}")
        placed |= owner
        cell["attributes"]["BEL"] = places[owner.pop()]
    if missing := set(places) - placed:
        raise BuildError(f"no multiplier for the processing elements {sorted(missing)}")
    netlist.write_text(json.dumps(design))
