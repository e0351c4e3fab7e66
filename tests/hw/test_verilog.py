"""The Verilog of a preset and the description beside it agree."""

import json
import re

import pytest

from heddle.hw import verilog
from heddle.hw.config import preset
from heddle.hw.registers import ADDRESS, MAGIC


@pytest.fixture(scope="module")
def written():
    texts = verilog.texts(preset("tiny"))
    assert list(texts) == ["tiny.v", "tiny.json"]
    return texts["tiny.v"], json.loads(texts["tiny.json"])


def test_ports_are_those_of_the_module(written):
    text, description = written
    top = text[text.index(f"module {description['top']}(") :]
    top = top[: top.index("endmodule")]
    ports = {
        name: {"direction": direction, "width": int(high) + 1 if high else 1}
        for direction, high, name in re.findall(
            r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", top, re.M
        )
    }
    described = {
        port["name"]: {"direction": port["direction"], "width": port["width"]}
        for port in description["ports"]
    }
    assert described == ports
    assert ports["s_axis_tdata"] == {"direction": "input", "width": 64}


def test_registers_and_configuration(written):
    _, description = written
    registers = {register["name"]: register for register in description["registers"]}
    assert {name: register["address"] for name, register in registers.items()} == ADDRESS
    assert registers["magic"]["value"] == MAGIC
    assert "value" not in registers["status"]
    assert description["configuration"] == preset("tiny").describe()


def test_the_text_stands_alone(written):
    """Every module that is instantiated is there, and none twice."""
    text, _ = written
    name = r"(\\\S+ |\w+)"
    modules = [m.strip() for m in re.findall(rf"^module {name} ?\(", text, re.M)]
    instances = {m.strip() for m in re.findall(rf"^  {name} +(?:\\\S+ |\w+) \($", text, re.M)}
    assert len(modules) == len(set(modules))
    assert "ProcessingElement" in instances
    assert instances <= set(modules)
