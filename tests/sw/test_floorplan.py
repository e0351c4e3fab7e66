"""Multipliers get the places that the floorplan gives them, and no others."""

import json
from dataclasses import replace

import pytest

from hw.config import ConfigError
from hw.platforms import board
from hw.platforms.floorplan import ECP5_85_BANDS, ecp5_85
from sw import floorplan
from sw.toolchain import BuildError

LARGE = [build for build in board("ulx3s-85f").builds if build.floorplan]


def netlist(path, elements):
    """A netlist with a multiplier for each of `elements`, and one that belongs to none."""
    cells, nets = {}, {"clk": {"bits": [1]}}
    for n, element in enumerate([*elements, None]):
        bits = [10 * n + 2, 10 * n + 3]
        cells[f"cell{n}"] = {
            "type": "MULT18X18D",
            "attributes": {},
            "port_directions": {"A0": "input", "P0": "output", "P1": "output"},
            # An operand may come from a neighbour.
            "connections": {"A0": [2], "P0": [bits[0]], "P1": [bits[1]]},
        }
        name = f"core.array.pe_{element[0]}_{element[1]}.mac.product" if element else "epilogue"
        nets[name + str(n)] = {"bits": [bits[0]]}
    path.write_text(json.dumps({"modules": {"top": {"cells": cells, "netnames": nets}}}))
    return path


def places(path):
    cells = json.loads(path.read_text())["modules"]["top"]["cells"]
    return [cell["attributes"].get("BEL") for cell in cells.values()]


def test_places(tmp_path):
    path = netlist(tmp_path / "netlist.json", [(1, 0), (0, 0)])
    floorplan.place(path, "top", {(0, 0): "here", (1, 0): "there"})
    assert places(path) == ["there", "here", None]


def test_one_multiplier_for_each(tmp_path):
    path = netlist(tmp_path / "netlist.json", [(0, 0), (0, 0)])
    with pytest.raises(BuildError, match="too many .*0, 0"):
        floorplan.place(path, "top", {(0, 0): "here"})
    path = netlist(tmp_path / "netlist.json", [(0, 0)])
    with pytest.raises(BuildError, match="no multiplier .*0, 1"):
        floorplan.place(path, "top", {(0, 0): "here", (0, 1): "there"})


@pytest.mark.parametrize("build", LARGE, ids=lambda build: build.config.name)
def test_ecp5(build):
    given = build.floorplan(build.config)
    assert len(set(given.values())) == len(given) == build.config.rows * build.config.columns
    # Neighbours along a link lie in the same band or in the next one.
    band = {at: ECP5_85_BANDS.index(int(place.split("/")[1][1:])) for at, place in given.items()}
    assert all(band[r, c] == band[r, 0] for r, c in given)
    assert all(band[r + 1, c] - band[r, c] in (0, 1) for r, c in given if (r + 1, c) in given)


def test_too_large():
    with pytest.raises(ConfigError, match="5 x 12 multipliers do not fit"):
        ecp5_85(replace(LARGE[-1].config, rows=13))
