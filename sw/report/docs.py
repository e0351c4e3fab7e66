"""The pages of docs/ that are generated from the code."""

import dataclasses
from collections.abc import Mapping, Sequence

from ...hw.config import HEADER_BYTES, Accumulation, Config
from ...hw.formats import FORMATS, OutputFormat
from ...hw.isa import dma_registers
from ...hw.isa import registers as accelerator
from ...hw.isa.codes import Flag, Opcode, Status, Target
from ...hw.isa.commands import COMMANDS, Response
from ...hw.isa.engines import WAIT_BITS, WAITS_BITS, Engine
from ...hw.isa.header import WAITS_AT, Header
from ...hw.isa.registers import Register
from .api_page import api

HEAD = "<!-- Made by `make docs`; edit the code it comes from. -->\n\n"

NOTES = {
    Opcode.LOAD: "Fill `count` words of a buffer from `address` on with the payload that follows, "
    "padded with zeros to whole beats; the packet ends with the payload's last beat. The words "
    "must lie in one page. Waits until no RUN under way uses that page.",
    Opcode.SETTINGS: "Set one column's bias, scale and exponent (`column` 0xFFFF: every column's). "
    "`entry` is page × T + context. The output is `(sum + bias) × scale × 2^exponent`, with "
    "`bias` an integer in the sum's unit, `scale` unsigned, `exponent` signed. Waits until no RUN "
    "under way uses that page of settings.",
    Opcode.RUN: "Compute `row_blocks` tiles. Tile i reads activations from `activation_base + i × "
    "activation_stride`, its weights from `slot_base`, and the group records `schedule_base` to "
    "`+ schedule_count - 1`. Addresses wrap within their page. Without `finish` the sums stay for "
    "the next RUN, and `row_blocks` is 1. With `relu` what is negative becomes 0. `output` is a "
    "format as below; of pages of settings there are as many as register `settings_pages` says. "
    "With `store` (only a device with tensor memory knows it, and only of a RUN that finishes) the "
    "rows go to tensor memory instead of the answer, as ROWS reads them: row 0 at word "
    "`destination`, `pitch` words from one window to the next, `groups` groups a row, column 0 at "
    "byte `offset` of its row. Nothing is written but the `words` words from `destination` on, and "
    "no window that is not whole in them: rows beyond are dropped, and so is what goes beyond a "
    "row's `groups`. `offset` is a multiple of what C and the bytes of a group have in common. "
    "With `pad`, zeros fill the last group that a row reaches into. `addend`, `raw_addend` and "
    "`mask`: the RUN has such side operands (SIDE). RAW outputs are stored only, and neither "
    "scaled nor masked; `relu` must be 0. On a device for training each element holds an index: "
    "if the RUN is `held`, that one picks its activations, not the slots'. If it `takes`, slot r "
    "of its first R slots that have weights brings the indices that the elements of row r hold "
    "from its end on, from where SIDE's `held` says; unless it is `held` too, its weights count as "
    "zeros. After a reset the indices are 0.",
    Opcode.SIDE: "Say where the side operands of the RUNs that follow lie: what is added to "
    "the sums, exactly, before they are scaled, and the mask, an output being +0 where it is "
    "zero. Each has a row for each row that the RUN stores, in windows as these; the addend's "
    "elements are of the array's format, or, with `raw_addend`, RAW, the mask's are the output's. "
    "An operand's words begin so many words behind the RUN's `destination` (modulo the memory's "
    "size), a mask's with the RUN's own `words`, `pitch` and `groups`. The RUN's column 0 is "
    "element n of a row, where n elements of the output take `offset` bytes; n is a multiple of "
    "what C and the bytes of a group have in common. Where a row has no such element, or is not "
    "whole in the words, the operand is zero. An addend that is not finite is zero too, and sets "
    "NONFINITE_ACTIVATION. Limbs of RAW sums, 32 bits each, the least significant first, lie in "
    "planes as rows of 32-bit results do, `addend_plane` and `output_plane` words apart, the "
    "latter no fewer than the RUN's `words`. An operand may be read where the results go if it "
    "lies as they do, and else not in words that are stored to (BAD_ADDRESS). For RUNs that take "
    "indices those of row r lie in slot `held + r × held_step` of the RUN's page of weights, "
    "modulo its size. Counts for the RUNs after it in the stream. Only a device with tensor memory "
    "knows it.",
    Opcode.SYNC: "Answered when everything before has finished.",
    Opcode.WRITE: "Fill `count` words of tensor memory, from `address` on, with the payload, a "
    "beat each; the packet ends with the last. Waits until nothing before it has tensor memory to "
    "read or to write. With `external` the words are external memory's, whose first bytes are word "
    "0; they are written in their turn among COPYs, and less than 16 MiB may come in one WRITE. "
    "Only a device with tensor memory knows it, and only one with external memory `external`.",
    Opcode.FILL: "Fill `count` words of a buffer, from `address` on, with `words` words of tensor "
    "memory from `source` on, as a LOAD does with its payload; not the activations'. Answered when "
    "it has been queued: what is wrong with the words themselves sets the flag FAULT. Target 4 are "
    "the settings of `count` columns in entry `address`, 16 bytes each: scale, exponent, bias; "
    "target 5, for training, biases alone, of the binary32 in the first lane's groups. Waits for "
    "what `waits` names, and for nothing else. Only a device with tensor memory knows it.",
    Opcode.ROWS: "Fill words `address` to `address + groups - 1` of the activations' buffer with "
    "groups of a tensor, for R output pixels that follow each other as the last IMAGE says. The "
    "first one is at (`line`, `column`) of its image; its first tap is at (`y`, `x`), and lies "
    "`start_words` and `start_lanes` from word `source`, lane 0. A row's groups are those of tap "
    "after tap, line by line, from group `group` of tap (`tap_y`, `tap_x`) on, which lies "
    "`offset_words` and `offset_lanes` from the first one. Rows from `rows` on are zeros, and so "
    "are taps outside the image. What lies outside the `words` words from `source` on is not read: "
    "it is zeros, and sets the flag FAULT. With `transposed` row r holds element r mod M of group "
    "r / M of these, of M pixels in each word: `groups` words of them, but for the last `missing` "
    "pixels (less than M), which are zeros; so are groups beyond `rows`. With `grouped` row r "
    "holds the r-th of these groups, of a pixel in each word: `groups` pixels (a multiple of the "
    "number of lanes, as `address` then), but for the last `missing` (fewer than lanes), which are "
    "zeros; so are rows from `rows` on. Queued and waited for as a FILL is. Only a device with "
    "tensor memory knows it, and only one for training (register `training`) `transposed` and "
    "`grouped`.",
    Opcode.DENSE: "Fill values and indices of slots `address` (a multiple of M) to `address + "
    "count - 1` with rows of a tensor, as dense weights: slot s is row s, and column c its element "
    "c, of the C / M groups that lie from word `source`, lane 0, on, `pitch` words from one window "
    "to the next; groups from `groups` on are zeros. Slots come in whole groups, whose places are "
    "the indices: those behind the last row are zeros. What lies outside the `words` words from "
    "`source` on is not read: it is zeros, and sets the flag FAULT. Queued with FILLs and counted "
    "as one. Only a device for training (register `training`) knows it.",
    Opcode.IMAGE: "Set how the ROWS that follow walk over their tensor. A tensor's rows lie in "
    "windows of one row for each lane, `pitch` words from one window to the next; word g of a "
    "window holds group g of its rows. A step from one row to another is so many words (modulo "
    "2^16) and lanes: where the lanes' sum reaches their number, it goes on in the next window. "
    "ROWS makes a row for each output pixel, of `out_height` × `out_width` in an image: "
    "`kernel_height` × `kernel_width` taps of `groups` groups each. Pixel (line, column) has its "
    "first tap at y = `first_y` + line × `stride_y`, x = `first_x` + column × `stride_x`, taps are "
    "`dilation_y` and `dilation_x` apart, and those outside `height` × `width` are zeros. Steps: "
    "`column` to the next output pixel, `line` from the last one of a line to the next line's "
    "first, `image` from an image's last one to the next image's first; `tap` to the next tap, "
    "`tap_line` from the last one of a line to the next line's first. 2^`abreast` images go "
    "abreast: an output pixel is made of each of them, from rows that follow each other, before "
    "the next pixel is; steps between pixels are then from the last of them to the first. Queued "
    "with ROWS and counted "
    "as one; waits for nothing. Only a device with tensor memory knows it.",
    Opcode.VECTOR: "Run `instructions` instructions of the [vector unit](vector.md), from word "
    "`program` on, over `rows` rows of `spans` spans of M elements. Stream n is the `words_n` "
    "words from `base_n` on, or not used if these are 0; what lies outside a stream is neither "
    "read nor written, and an attempt sets the flag FAULT, as does an instruction that nobody "
    "knows: then nothing is done. Of a device that prunes one that is `guarded` does nothing if a "
    "flag NONFINITE_ACTIVATION, NONFINITE_WEIGHT or OVERFLOW is set when it begins; no other looks "
    "at that. Queued and waited for as a FILL is. Only a device with a vector unit knows it.",
    Opcode.PRUNE: "Keep `kept` of every M weights of a tensor, as compact weights that a FILL "
    "brings: of every M rows in each column (forward), and, if it is `across`, of every M columns "
    "in each row (backward: weights of the transposed tensor). The tensor has `inputs` groups of M "
    "rows and `outputs` groups of M columns, binary32, from word `source`, lane 0, on, `pitch` "
    "words from one window to the next. The largest magnitudes stay, of equals the lower index, "
    "always as many, in order of their indices, rounded to elements to nearest even; one that is "
    "not finite then is found by the FILL that brings it. All is written into the `room` words "
    "from `address` on: the values of column block b, C for each slot, begin `b * forward_pitch` "
    "words from there, its indices `forward_indices` words later; the backward ones likewise from "
    "word `address + backward` on. "
    "Columns of a block that the tensor has not are not written. A write outside is dropped, and "
    "where the tensor's `words` end the PRUNE ends: both set the flag FAULT. With `held` the "
    "tensor has those weights alone that are kept already: the first ones of R groups in R rows, "
    "then the second ones, and so on to the `kept`-th, then those of the next R groups. Their "
    "places are the indices that lie where the forward ones are written: forward they stay, and "
    "backward they come before all other places, which are filled with zeros. Indices that would "
    "lie outside the region are those of its first word, and set FAULT. Queued with VECTORs "
    "and counted as one. Only a device that is for training, has a vector unit, and multiplies "
    "floating-point elements knows it.",
    Opcode.COPY: "Copy `rows` rows of `row_bytes` bytes from external memory to tensor memory; "
    "with `outward` the other way. In external memory row 0 begins at byte `external`, each other "
    "one `stride` bytes after the one before; but after each `line` rows (0: never) a new line "
    "begins, `line_stride` bytes after the beginning of the last one. Rows may begin at any byte, "
    "and lie across each other there, as windows of an image do. In tensor memory they lie in "
    "windows of one row for each lane (IMAGE), row 0 at word `tensor`, `pitch` words from one "
    "window to the next; with `whole` each row has words of its own, all lanes of them, `pitch` "
    "words from one row to the next. Zeros fill the last group (word, if `whole`) that a row "
    "reaches into; outwards nothing but its bytes is written. A row that is not whole inside both "
    "memories is not copied and sets the flag EXTERNAL; if that is row 0, the COPY is refused. If "
    "external memory answers with an error the flag is set too: nothing is written that lies in "
    "one beat of a row with a byte that was not read. COPYs are worked on in their order, and "
    "queued and waited for as FILLs are. Only a device with external memory (register "
    "`external_bits`) knows it.",
    Opcode.READ: "Answered with `count` words of tensor memory from `address` on, a beat each, as "
    "they are when its turn to be answered comes: after the WRITEs before it and the RUNs that "
    "store. With `external` they are external memory's, read in their turn among COPYs, less than "
    "16 MiB in one READ. Only a device with tensor memory knows it, and only one with external "
    "memory `external`.",
}

WORDS = {
    Target.ACTIVATIONS: "R groups of M elements, one group for each row",
    Target.SCHEDULE: "one group record: a byte, `count` in the low bits (4 for M = 8), above it "
    "`skip`",
    Target.INDICES: "C nibbles: the place of each column's weight in its group",
    Target.VALUES: "C elements: each column's weight",
}


def _fields(kind: type[Header]) -> list[str]:
    """A table of a header's fields."""
    lines, at = ["| bits | field | |", "|---|---|---|"], 16
    for name, (width, signed) in kind.layout().items():
        place = f"{at}" if width == 1 else f"{at}–{at + width - 1}"
        lines.append(f"| {place} | `{name}` | {'signed' if signed else ''} |")
        at += width
    if any(field.name == "waits" for field in dataclasses.fields(kind)):
        lines.append(f"| {WAITS_AT}–{WAITS_AT + WAITS_BITS - 1} | `waits` | see above |")
    for name, at in kind.behind().items():
        lines.append(f"| {at} | `{name}` | |")
    return lines


def commands() -> str:
    """docs/commands.md from `hw/isa/commands.py`."""
    lines = [
        HEAD + "# Commands\n",
        f"An AXI4-Stream packet is one command or several: each a header of {HEADER_BYTES} bytes, "
        "padded to a whole beat, and for LOAD and WRITE a payload. The first byte is the opcode, "
        "the second a tag, which comes back. Fields follow, bit 0 of the header being the lowest "
        "bit of its first byte; unused bits are zero. The last two bytes are CRC-16/CCITT-FALSE "
        "(polynomial 0x1021, initial 0xFFFF) of the thirty before them, the low byte first.\n",
        "Every packet is answered, in order, by one packet: a header of the same size with the "
        "fields below and the same CRC, then a RUN's rows or a READ's words. It is the answer to "
        "the last command, or to the first that is refused: that changes nothing (of a payload "
        "that is refused, what was written stays), what follows it in its packet is not looked at, "
        "and the device goes on with the next packet. A command with a payload, or with rows or "
        "words in its answer, must be the last of its packet.\n",
        "`waits`, of a device with tensor memory: five bits for each engine, "
        + ", ".join(f"{e.name} from bit {WAITS_AT + WAIT_BITS * e} on" for e in Engine)
        + ". Zero waits for nothing; n + 1 until all but the last n of those commands that came "
        "to that engine earlier have been finished.\n",
    ]
    for opcode in Opcode:
        lines += [f"## {opcode.name} ({opcode.value})\n", NOTES[opcode] + "\n"]
        lines += [*_fields(COMMANDS[opcode]), ""] if COMMANDS[opcode].layout() else []
    lines += [
        "## Buffers (LOAD's target)\n",
        "| value | name | one word |",
        "|---|---|---|",
        *(f"| {t.value} | {t.name} | {text} |" for t, text in WORDS.items()),
        "",
        "Words follow each other densely. A record passes `skip` empty groups, then issues `count` "
        "rounds of T slots with the next group, and passes it. A count of 0 issues nothing, but "
        "for a tile's last record: then one round of zero weights ends the tile.\n",
        "## Responses\n",
        *_fields(Response),
        "",
        "Rows: for each tile from the array's bottom row to its top, for each context 0…T-1, C "
        "outputs, little-endian, padded with zeros to whole beats. `flags` are the sticky flags "
        "when the header was made; those of the RUN's own rows are in the register.\n",
        "| status | meaning |",
        "|---|---|",
        *(f"| {s.value} | {s.name} |" for s in Status),
        "",
        "| output format | bytes |",
        "|---|---|",
        *(f"| {f.value} {f.name} | {f.bytes} |" for f in OutputFormat),
        "",
        "| flag (bit) | |",
        "|---|---|",
        *(f"| {f.value} | {f.name} |" for f in Flag),
        "",
    ]
    return "\n".join(lines)


def _register_table(table: Sequence[Register], address: Mapping[str, int]) -> list[str]:
    return [
        "| address | name | access | meaning |",
        "|---|---|---|---|",
        *(
            f"| 0x{address[r.name]:02x} | `{r.name}` | {r.access.value} | "
            f"{r.text.replace('|', chr(92) + '|')} |"
            for r in table
        ),
    ]


def registers() -> str:
    """docs/registers.md from `hw/isa/registers.py` and `hw/isa/dma_registers.py`."""
    lines = [
        HEAD + "# Registers\n",
        "AXI4-Lite, 32 bits. Of a 64-bit counter read the low word first: that keeps the high "
        "word that belongs to it.\n",
        *_register_table(accelerator.FIRST, accelerator.ADDRESS),
        "",
        "## Engines\n",
        "Counters of 32 bits that a device with tensor memory has; those of the vector unit and "
        "of COPY read as zero where there is none. While anything is under way the array issues "
        "a slot, or there is one cause why it does not: `slots`, `stall_drain`, `stall_output` "
        "and what begins with `array_` add up to `running`. Of several engines that a RUN waits "
        "for the first counts, and where no RUN is there because a command before it waits for "
        "room in an engine's queue, that engine does. Of any other engine a cycle is `busy`, or "
        "its next descriptor waits for one engine, or it has none.\n",
        *_register_table(accelerator.REGISTERS[len(accelerator.FIRST) :], accelerator.ADDRESS),
        "",
        "## Formats and accumulation\n",
        "What the fields of `format` say. An element lies in so many bits of a stream, its code in "
        "the low ones ([extending](extending.md)).\n",
        "| format | name | element | exponent, fraction bits | exact sum |",
        "|---|---|---|---|---|",
        *(
            f"| {code} | {f.name} | {f.bits} bits | {f.exponent_bits}, {f.fraction_bits}"
            + (f" (exponent fields {f.window[0]} to {f.window[1]}) | " if f.window else " | ")
            + f"{Config(f.name, 2, 2, f).accumulator_bits} bits in units of "
            f"2^{f.product_unit_log2} |"
            for code, f in enumerate(FORMATS.values())
        ),
        "",
        "| accumulation | name |",
        "|---|---|",
        *(f"| {a.value} | {a.name} |" for a in Accumulation),
        "",
        "## DMA\n",
        "Of a device beside a memory ([vendor boards](vendor.md)), above the others. Packets to be "
        "read lie one after another: a beat whose low 32 bits count the beats that follow, then "
        "those. Of packets that were written the count comes after them, so the host takes them "
        "apart from the last to the first. A packet may go on in the next room: when there is no "
        "room left, `written` beats are to be fetched and `write` starts again.\n",
        *_register_table(dma_registers.REGISTERS, dma_registers.ADDRESS),
    ]
    return "\n".join([*lines, ""])


PAGES = {
    "api.md": lambda: HEAD + api(),
    "commands.md": commands,
    "registers.md": registers,
}
"""File names in docs/, and what makes them."""
