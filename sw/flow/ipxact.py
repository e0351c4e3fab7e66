"""IP-XACT descriptions (IEEE 1685-2009): how a module gets into a vendor's block design."""

from collections.abc import Iterable
from xml.etree import ElementTree as xml

from amaranth.lib import wiring

from ...hw.isa import dma_registers, registers
from ...hw.isa.registers import Access
from ...hw.verilog import ports

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"
"""Of the extensions without which Vivado offers a block for no device."""
VENDOR, LIBRARY, VERSION = "heddle", "heddle", "1.0"
BUSES = {
    "s_axil": ("aximm", "slave"),
    "m_axi": ("aximm", "master"),
    "s_axis": ("axis", "slave"),
    "m_axis": ("axis", "master"),
}
"""Kind and role of the bus that a port's prefix belongs to."""
CLOCK, RESET = "clk", "rst"
REGISTERS, MEMORY = "s_axil", "m_axi"
"""The buses of the registers and of the memory, whose map and address space have their names."""
BLOCK, FILES = "registers", "sources"
PROTOCOLS = {REGISTERS: "AXI4LITE", MEMORY: "AXI4"}
FAMILIES = (
    *("artix7", "kintex7", "virtex7", "spartan7", "zynq"),
    *("kintexu", "virtexu", "artixuplus", "kintexuplus", "virtexuplus", "zynquplus"),
)
"""Devices that the Verilog is for, as Vivado calls them."""
ACCESS = {
    Access.CONSTANT: "read-only",
    Access.READ: "read-only",
    Access.WRITE: "write-only",
    Access.READ_WRITE: "read-write",
}


def describe(signature: wiring.Signature, name: str, files: Iterable[str], text: str) -> str:
    """The text of ``component.xml`` for a component of that signature as Verilog module `name`.

    Ports go together to buses by their names (``s_axil_awaddr``: AWADDR of s_axil); a bus of
    registers has the map of `hw.isa.registers`, and of `hw.isa.dma_registers` if it is wide enough.
    """
    xml.register_namespace("spirit", SPIRIT)
    xml.register_namespace("xilinx", XILINX)
    every = ports(signature)
    buses = [bus for bus in BUSES if any(port.startswith(f"{bus}_") for port in every)]
    root = _element(None, "component")
    for tag, value in (
        ("vendor", VENDOR),
        ("library", LIBRARY),
        ("name", name),
        ("version", VERSION),
    ):
        _element(root, tag, value)
    interfaces = _element(root, "busInterfaces")
    for bus in buses:
        _bus(interfaces, bus, [port for port in every if port.startswith(f"{bus}_")])
    _signal(
        interfaces,
        CLOCK,
        "clock",
        {"ASSOCIATED_BUSIF": ":".join(buses), "ASSOCIATED_RESET": RESET},
    )
    _signal(interfaces, RESET, "reset", {"POLARITY": "ACTIVE_HIGH"})
    if MEMORY in buses:
        space = _element(_element(root, "addressSpaces"), "addressSpace")
        _element(space, "name", MEMORY)
        _element(space, "range", f"{1 << every[f'{MEMORY}_araddr'][1]}")
        _element(space, "width", f"{every[f'{MEMORY}_rdata'][1]}")
    _memory_map(root, 1 << every[f"{REGISTERS}_araddr"][1])
    _model(root, name, every)
    sources = _element(_element(root, "fileSets"), "fileSet")
    _element(sources, "name", FILES)
    for path in files:
        file = _element(sources, "file")
        _element(file, "name", path)
        _element(file, "fileType", "verilogSource")
    _element(root, "description", text)
    _parameters(root, {"Component_Name": name}, "PARAM_VALUE")
    _extensions(root, name)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _element(parent: xml.Element | None, tag: str, text: str | None = None) -> xml.Element:
    name = f"{{{SPIRIT}}}{tag}"
    element = xml.Element(name) if parent is None else xml.SubElement(parent, name)
    element.text = text
    return element


def _reference(parent: xml.Element, tag: str, library: str, name: str) -> None:
    fields = {"vendor": "xilinx.com", "library": library, "name": name, "version": "1.0"}
    element = _element(parent, tag)
    for field, value in fields.items():
        element.set(f"{{{SPIRIT}}}{field}", value)


def _bus(parent: xml.Element, bus: str, names: list[str]) -> None:
    kind, role = BUSES[bus]
    interface = _element(parent, "busInterface")
    _element(interface, "name", bus)
    _reference(interface, "busType", "interface", kind)
    _reference(interface, "abstractionType", "interface", f"{kind}_rtl")
    side = _element(interface, role)
    if kind == "aximm":
        tag = "memoryMapRef" if role == "slave" else "addressSpaceRef"
        _element(side, tag).set(f"{{{SPIRIT}}}{tag}", bus)
    maps = _element(interface, "portMaps")
    for name in names:
        _port_map(maps, name.removeprefix(f"{bus}_").upper(), name)
    if bus in PROTOCOLS:
        _parameters(interface, {"PROTOCOL": PROTOCOLS[bus]}, f"BUSIFPARAM_VALUE.{bus.upper()}")


def _signal(parent: xml.Element, name: str, kind: str, parameters: dict[str, str]) -> None:
    """A clock or a reset, with what Vivado wants to know of it."""
    interface = _element(parent, "busInterface")
    _element(interface, "name", name)
    _reference(interface, "busType", "signal", kind)
    _reference(interface, "abstractionType", "signal", f"{kind}_rtl")
    _element(interface, "slave")
    _port_map(_element(interface, "portMaps"), {"clock": "CLK", "reset": "RST"}[kind], name)
    _parameters(interface, parameters, f"BUSIFPARAM_VALUE.{name.upper()}")


def _parameters(parent: xml.Element, values: dict[str, str], prefix: str) -> None:
    """Parameters with the identifiers that Vivado finds them by."""
    holder = _element(parent, "parameters")
    for name, value in values.items():
        element = _element(holder, "parameter")
        _element(element, "name", name)
        _element(element, "value", value).set(f"{{{SPIRIT}}}id", f"{prefix}.{name}")


def _extensions(root: xml.Element, name: str) -> None:
    def add(parent: xml.Element, tag: str, text: str | None = None) -> xml.Element:
        element = xml.SubElement(parent, f"{{{XILINX}}}{tag}")
        element.text = text
        return element

    core = add(_element(root, "vendorExtensions"), "coreExtensions")
    families = add(core, "supportedFamilies")
    for family in FAMILIES:
        add(families, "family", family).set(f"{{{XILINX}}}lifeCycle", "Production")
    add(add(core, "taxonomies"), "taxonomy", "/UserIP")
    add(core, "displayName", name)
    add(core, "coreRevision", "1")


def _port_map(parent: xml.Element, logical: str, physical: str) -> None:
    element = _element(parent, "portMap")
    _element(_element(element, "logicalPort"), "name", logical)
    _element(_element(element, "physicalPort"), "name", physical)


def _memory_map(root: xml.Element, size: int) -> None:
    mapping = _element(_element(root, "memoryMaps"), "memoryMap")
    _element(mapping, "name", REGISTERS)
    block = _element(mapping, "addressBlock")
    for tag, value in (
        ("name", BLOCK),
        ("baseAddress", "0"),
        ("range", f"{size}"),
        ("width", "32"),
        ("usage", "register"),
    ):
        _element(block, tag, value)
    tables = [("", registers)] + [("dma_", dma_registers)] * (size > dma_registers.BASE)
    for prefix, table in tables:
        for register in table.REGISTERS:
            element = _element(block, "register")
            _element(element, "name", prefix + register.name)
            _element(element, "description", register.text)
            _element(element, "addressOffset", f"{table.ADDRESS[register.name]:#x}")
            _element(element, "size", "32")
            _element(element, "access", ACCESS[register.access])


def _model(root: xml.Element, name: str, every: dict[str, tuple[str, int]]) -> None:
    model = _element(root, "model")
    view = _element(_element(model, "views"), "view")
    _element(view, "name", "xilinx_verilogsynthesis")
    _element(view, "envIdentifier", "verilogSource:vivado.xilinx.com:synthesis")
    _element(view, "language", "verilog")
    _element(view, "modelName", name)
    _element(_element(view, "fileSetRef"), "localName", FILES)
    holder = _element(model, "ports")
    for port, (direction, width) in every.items():
        element = _element(holder, "port")
        _element(element, "name", port)
        wire = _element(element, "wire")
        _element(wire, "direction", direction.removesuffix("put"))
        if width > 1:
            vector = _element(wire, "vector")
            _element(vector, "left", f"{width - 1}")
            _element(vector, "right", "0")
