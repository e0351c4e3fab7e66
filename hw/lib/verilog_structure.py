"""What Verilog says but for the names in it: equal for designs that differ in names only.

Names are forgotten and the order of statements is, for Yosys sorts both by name. What remains is
a graph: statements, and the identifiers that they share. Each identifier gets a colour from the
statements that it stands in and its places there, again and again until no more can be told apart
(Weisfeiler and Leman, 1968). Two designs of equal colours are the same circuit, unless they are
as regular as no circuit of this project is.
"""

import re
from collections import defaultdict
from hashlib import blake2b

from .verilog_names import KEYWORDS

MODULE = re.compile(r"^module (\S+?) ?\((.*?)\);\n(.*?)^endmodule", re.M | re.S)
STATEMENT = re.compile(
    r"^(?:  \(\*.*\*\)\n)*"  # its attributes
    r"(?:  (?!end|\)|else)\S|`).*\n"  # a line of the module's own indentation, or the compiler's
    r"(?:(?:   +|  (?=end|\)|else)).*\n)*",  # what is further in, and what closes it
    re.M,
)
TOKEN = re.compile(r"\\\S+|\.\\?[^\s()]+(?= ?\()|\d*'s?[bodh][0-9a-fxz?]+|[A-Za-z_`$][\w$]*|\d+|\S")
NAME = re.compile(r"[A-Za-z_$\\]")
ROUNDS = 64
"""No circuit of this project takes a quarter of that."""

Line = list[str | bytes]
"""Tokens: names as they stand, whatever else as its hash."""


def structure(text: str) -> str:
    """Sixteen hexadecimal digits that differ when designs do, and not when their names do.

    `text` is Verilog as Yosys writes it. Of a module that no other instantiates the ports' names
    count: boards and buses refer to them.
    """
    modules = {
        found[1]: (found[2].replace(",", " ").split(), _statements(found[3]))
        for found in MODULE.finditer(text)
    }
    parts = {line[0] for _, lines in modules.values() for line in lines} & set(modules)
    done: dict[str, dict[str, bytes]] = {}

    def colours(name: str) -> dict[str, bytes]:
        """Of a module's identifiers; its own is that of the empty string."""
        if name not in done:
            ports, lines = modules[name]
            used = {line[0]: colours(line[0]) for line in lines if line[0] in modules}
            begin = {port: _hash("port", "" if name in parts else port) for port in ports}
            done[name] = _coloured(begin, lines, used)
        return done[name]

    return _hash(*sorted(colours(name)[""] for name in set(modules) - parts)).hex()


def _statements(body: str) -> list[list[str]]:
    return [TOKEN.findall(found) for found in STATEMENT.findall(body)]


def _coloured(
    begin: dict[str, bytes], statements: list[list[str]], used: dict[str, dict[str, bytes]]
) -> dict[str, bytes]:
    """Colours of one module, from those of its ports and of the modules that it instantiates."""
    lines: list[list[Line]] = []
    places: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for number, tokens in enumerate(statements):
        line = _parts(tokens, used.get(tokens[0], {}))
        lines.append(line)
        for part in line:
            for place, token in enumerate(part):
                if isinstance(token, str):
                    places[token].append((number, _hash(part[0], str(place))))
    colour = dict.fromkeys(places, _hash("name")) | begin
    said: list[bytes] = []
    for _ in range(ROUNDS):
        said = [
            _hash(
                *sorted(_hash(*(colour[t] if isinstance(t, str) else t for t in p)) for p in line)
            )
            for line in lines
        ]
        finer = {
            name: _hash(old, *sorted(_hash(said[number], place) for number, place in places[name]))
            for name, old in colour.items()
        }
        settled = len(set(finer.values())) == len(set(colour.values()))
        colour = finer
        if settled:
            break
    return colour | {"": _hash(*sorted(said))}


def _parts(tokens: list[str], inner: dict[str, bytes]) -> list[Line]:
    """A statement whole, or an instance's head and its connections, which Yosys sorts by name.

    A part begins with a hash: of the module that `inner` tells of, of one of its ports, or of none.
    """
    parts: list[Line] = [[inner.get("", b"")]]
    for token in tokens[1:-2] if inner else tokens:  # without the end: ")", ";"
        if inner and token[0] == ".":
            if parts[-1][-1] == COMMA:
                parts[-1].pop()
            parts.append([inner[token[1:]]])
        elif NAME.match(token) and token not in KEYWORDS:
            parts[-1].append(token)
        else:
            parts[-1].append(_hash(token))
    return parts


def _hash(*parts: str | bytes) -> bytes:
    """Of eight bytes; parts are told apart by their lengths."""
    state = blake2b(digest_size=8)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        state.update(len(content).to_bytes(4, "little") + content)
    return state.digest()


COMMA = _hash(",")
