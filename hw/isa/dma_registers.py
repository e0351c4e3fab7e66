"""The register map of the DMA between memory and the accelerator's streams.

It lies above the accelerator's own registers (`hw.isa.registers`), from `BASE` on.
"""

from .registers import Access, Register

BASE = 0x1000
MAGIC = 0x48_44_4D_41
"""Identification: "HDMA"."""
VERSION = 2
"""Of this map; a driver talks to its own."""

ADDRESS_BITS = 40
"""Of the DMA's addresses: a TiB, what block designs' tools can say in every way that they know."""

REGISTERS = (
    Register("magic", Access.CONSTANT, 'identification: 0x48444D41, "HDMA"'),
    Register("version", Access.CONSTANT, "version of this map"),
    Register("beat_bytes", Access.CONSTANT, "bytes in a beat, which addresses are multiples of"),
    Register("control", Access.WRITE, "bit 0: read; bit 1: write; bit 2: abort"),
    Register("status", Access.READ, "bit 0: reading; 1: no room; 2: read failed; 3: write failed"),
    Register("source_low", Access.READ_WRITE, "byte address of what is to be read"),
    Register("source_high", Access.READ_WRITE, "its upper part; an address has 40 bits"),
    Register("source_beats", Access.READ_WRITE, "beats to read, at least 1"),
    Register("target_low", Access.READ_WRITE, "byte address of the room for responses"),
    Register("target_high", Access.READ_WRITE, "its upper part; an address has 40 bits"),
    Register("target_beats", Access.READ_WRITE, "beats of that room"),
    Register("written", Access.READ, "beats acknowledged since writing was started"),
    Register("packets", Access.READ, "ends of packets acknowledged since the last abort"),
    Register("external_low", Access.READ_WRITE, "byte address of external memory, on 4 KiB"),
    Register("external_high", Access.READ_WRITE, "its upper part; an address has 40 bits"),
)
"""In address order, four bytes each."""

ADDRESS = {register.name: BASE + 4 * i for i, register in enumerate(REGISTERS)}

CONTROL_READ = 1 << 0
CONTROL_WRITE = 1 << 1
CONTROL_ABORT = 1 << 2
"""End what is under way, throw away what comes until the next start, clear the failures."""

STATUS_READING = 1 << 0
STATUS_FULL = 1 << 1
STATUS_READ_FAILED = 1 << 2
STATUS_WRITE_FAILED = 1 << 3
