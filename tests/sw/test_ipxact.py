"""IP-XACT descriptions beside the Verilog that they describe: both are parsed."""

import re
from collections import Counter
from xml.etree import ElementTree as xml

import pytest

from heddle.hw import verilog
from heddle.hw.config import preset
from heddle.hw.isa import dma_registers, registers
from heddle.hw.memory_top import MemoryAccelerator
from heddle.hw.top import Accelerator
from heddle.sw.flow import ipxact

CONFIG = preset("tiny")
NAMES = {"s": f"{{{ipxact.SPIRIT}}}", "x": f"{{{ipxact.XILINX}}}"}
AXI = {
    "AXI4LITE": "AWADDR AWVALID AWREADY WDATA WSTRB WVALID WREADY BRESP BVALID BREADY ARADDR "
    "ARVALID ARREADY RDATA RRESP RVALID RREADY",
    "AXI4": "AWID AWADDR AWLEN AWSIZE AWBURST AWCACHE AWPROT AWVALID AWREADY WDATA WSTRB WLAST "
    "WVALID WREADY BID BRESP BVALID BREADY ARID ARADDR ARLEN ARSIZE ARBURST ARCACHE ARPROT ARVALID "
    "ARREADY RID RDATA RRESP RLAST RVALID RREADY",
    "AXIS": "TDATA TVALID TREADY TLAST",
}
"""What Vivado's definitions of the buses call the signals that are used."""
ORDER = (
    "vendor library name version busInterfaces addressSpaces memoryMaps model fileSets description "
    "parameters vendorExtensions"
).split()
"""Of the elements in a component, by IEEE 1685-2009."""


def find(element, path: str):
    """Elements below `element`; `path` names them in IP-XACT's own space."""
    return element.findall("/".join(NAMES["s"] + part for part in path.split("/")))


def text(element, path: str) -> str:
    (found,) = find(element, path)
    return found.text


def reference(element, tag: str) -> str:
    (found,) = find(element, tag)
    return found.get(f"{NAMES['s']}{tag.rpartition('/')[2]}")


@pytest.fixture(scope="module", params=[MemoryAccelerator, Accelerator], ids=lambda k: k.__name__)
def described(request):
    component = request.param(CONFIG)
    source = verilog.convert(component, "block")
    written = ipxact.describe(component.signature, "block", ["block.v"], "A <block> & more")
    return source, xml.fromstring(written)


def ports_of(source: str) -> dict[str, tuple[str, int]]:
    module = source[source.index("module block(") :]
    module = module[: module.index("endmodule")]
    return {
        name: (direction, int(high or 0) + 1)
        for direction, high, name in re.findall(
            r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", module, re.M
        )
    }


def test_every_port_appears_once_and_as_wide(described):
    source, root = described
    ports = find(root, "model/ports/port")
    names = [text(port, "name") for port in ports]
    assert len(names) == len(set(names))
    widths = {}
    for name, port in zip(names, ports, strict=True):
        direction = {"in": "input", "out": "output"}[text(port, "wire/direction")]
        vector = find(port, "wire/vector")
        width = int(text(port, "wire/vector/left")) + 1 if vector else 1
        assert not vector or text(port, "wire/vector/right") == "0"
        widths[name] = (direction, width)
    assert widths == ports_of(source)


def test_every_port_belongs_to_one_bus(described):
    source, root = described
    mapped = Counter(
        text(port, "physicalPort/name")
        for port in find(root, "busInterfaces/busInterface/portMaps/portMap")
    )
    assert mapped == Counter(list(ports_of(source)))


def test_buses_are_what_vivado_calls_them(described):
    source, root = described
    buses = {}
    for bus in find(root, "busInterfaces/busInterface"):
        name = text(bus, "name")
        parameters = {text(p, "name"): text(p, "value") for p in find(bus, "parameters/parameter")}
        kind = parameters.get("PROTOCOL") or find(bus, "busType")[0].get(f"{NAMES['s']}name")
        buses[name] = parameters
        logical = [text(p, "logicalPort/name") for p in find(bus, "portMaps/portMap")]
        if kind in ("clock", "reset"):
            assert logical == [{"clock": "CLK", "reset": "RST"}[kind]]
            continue
        assert sorted(logical) == sorted(AXI[kind.upper()].split())
        role = "master" if name.startswith("m_") else "slave"
        assert find(bus, role)
        # A master drives its VALIDs, a slave takes them.
        direction = "output" if role == "master" else "input"
        for valid in ("tvalid", "arvalid", "awvalid", "wvalid"):
            if f"{name}_{valid}" in ports_of(source):
                assert ports_of(source)[f"{name}_{valid}"][0] == direction
    others = set(buses) - {"clk", "rst"}
    assert set(buses["clk"]["ASSOCIATED_BUSIF"].split(":")) == others
    assert buses["clk"]["ASSOCIATED_RESET"] == "rst"
    assert buses["rst"]["POLARITY"] == "ACTIVE_HIGH"


def test_addresses(described):
    source, root = described
    (mapping,) = find(root, "memoryMaps/memoryMap")
    (slave,) = (b for b in find(root, "busInterfaces/busInterface") if text(b, "name") == "s_axil")
    assert reference(slave, "slave/memoryMapRef") == text(mapping, "name") == "s_axil"
    size = int(text(mapping, "addressBlock/range"))
    assert size == 1 << ports_of(source)["s_axil_awaddr"][1]
    found = {
        text(r, "name"): (int(text(r, "addressOffset"), 16), text(r, "access"))
        for r in find(mapping, "addressBlock/register")
    }
    expected = dict(registers.ADDRESS)
    if "m_axi_araddr" in ports_of(source):
        expected |= {f"dma_{name}": at for name, at in dma_registers.ADDRESS.items()}
        (space,) = find(root, "addressSpaces/addressSpace")
        assert int(text(space, "range")) == 1_099_511_627_776  # 40 bits
        assert int(text(space, "width")) == 8 * CONFIG.stream_bytes
        (bus,) = (b for b in find(root, "busInterfaces/busInterface") if text(b, "name") == "m_axi")
        assert reference(bus, "master/addressSpaceRef") == text(space, "name")
    assert {name: at for name, (at, _) in found.items()} == expected
    assert found["magic"][1] == "read-only" and found["control"][1] == "write-only"
    assert all(at + 4 <= size for at, _ in found.values())


def test_elements_stand_in_the_standards_order(described):
    _, root = described
    tags = [element.tag.removeprefix(NAMES["s"]) for element in root]
    assert tags == [tag for tag in ORDER if tag in tags]
    assert root.tag == f"{NAMES['s']}component"
    assert text(root, "description") == "A <block> & more"
    # The pair by which Vivado finds the sources to synthesise.
    assert text(root, "model/views/view/name") == "xilinx_verilogsynthesis"
    environment = "verilogSource:vivado.xilinx.com:synthesis"
    assert text(root, "model/views/view/envIdentifier") == environment
    assert text(root, "model/views/view/modelName") == text(root, "name") == "block"
    assert text(root, "model/views/view/fileSetRef/localName") == text(
        root, "fileSets/fileSet/name"
    )
    assert text(root, "fileSets/fileSet/file/name") == "block.v"
    families = {family.text for family in root.iter(f"{NAMES['x']}family")}
    assert {"zynq", "artix7", "virtexuplus"} <= families
