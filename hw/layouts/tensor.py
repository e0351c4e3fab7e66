"""Layouts and signatures of tensor memory and of the movers, from there to the buffers."""

from amaranth import Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import BIAS_BITS, Config
from ..isa.codes import Target
from ..isa.descriptors import Image, Rows
from .stream import FIELDS


def WORDS(config: Config) -> data.StructLayout:
    """`count` words of tensor memory from `address` on, all of them inside it."""
    words = config.tensor_words
    return data.StructLayout({"address": range(words), "count": range(words + 1)})


def READ_PORT(config: Config) -> wiring.Signature:
    """Reads of tensor memory: one where both are `valid` and `ready`, of each lane from an address
    of its own; what it gives is `there` some cycles later (`TensorMemory.LATENCY`), whether it is
    waited for or not."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "address": Out(data.ArrayLayout(range(config.tensor_words), config.lanes)),
            "there": In(1),
            "data": In(8 * config.stream_bytes),
        }
    )


def WRITE_PORT(config: Config) -> wiring.Signature:
    """Writes of tensor memory, a word's lanes at addresses of their own: never refused. There is an
    enable for each `config.write_bytes` bytes."""
    return wiring.Signature(
        {
            "enable": Out(config.stream_bytes // config.write_bytes),
            "address": Out(data.ArrayLayout(range(config.tensor_words), config.lanes)),
            "data": Out(8 * config.stream_bytes),
        }
    )


def meet(one, other) -> Value:
    """Whether two stretches (WORDS) have words in common."""
    return (one.address < other.address + other.count) & (other.address < one.address + one.count)


def at_work(config: Config) -> dict:
    """Members of what works on tensor memory, and writes where nobody else does: its ports, `grant`
    to write in this cycle, and whether it `waits` for either; it has `finished`; and a `fault`."""
    return {
        "port": Out(READ_PORT(config)),
        "write": Out(WRITE_PORT(config)),
        "grant": In(1),
        "waits": Out(1),
        "finished": Out(1),
        "fault": Out(1),
    }


def FILL(config: Config) -> data.StructLayout:
    """A FILL command, checked, on its way to the filler; of `settings` or to its target. Or, for
    training, of `biases`, or a DENSE: `pitch` and `groups` are its own."""
    training = {}
    if config.training:
        own = {name: DENSE(config).members[name] for name in ("pitch", "groups")}
        training = {"dense": 1, **own, "biases": 1}
    return data.StructLayout(
        {
            "target": Target,
            "address": 16,
            "count": 16,
            "words": WORDS(config),
            "indices": WORDS(config),
            "settings": 1,
            **training,
        }
    )


def DENSE(config: Config) -> data.StructLayout:
    """Rows of a tensor that become dense weights: a DENSE command. There are `groups` of those that
    a row has for all columns."""
    return data.StructLayout(
        {
            "address": range(2 * config.weight_slots),
            "count": range(config.weight_slots + 1),
            "words": WORDS(config),
            "pitch": 16,
            "groups": range(config.columns // config.group + 1),
        }
    )


def TURNED(config: Config) -> data.StructLayout:
    """How a chunk of `lanes` groups of activations is written: if `transposed`, element i of the
    groups goes to row i of the M rows that the chunk's number names, and there into `part`, a part
    of as many elements as there are lanes. If `grouped`, they lie in as many words that follow each
    other as there are lanes: row i's group in the one whose number is i and `turn`, added."""
    return data.StructLayout(
        {
            "transposed": 1,
            "part": range(config.group // config.lanes),
            "grouped": 1,
            "turn": range(config.lanes),
        }
    )


def SKEWED(config: Config) -> data.StructLayout:
    """How a chunk of groups of values is written: if it is `skewed`, its first `turn` groups are
    the last of so many slots that follow each other, and the groups from there on the first."""
    return data.StructLayout({"skewed": 1, "turn": range(config.dense_groups)})


SETTING = data.StructLayout({"scale": 16, "exponent": signed(16), "bias": signed(BIAS_BITS)})
"""A column's settings as they lie in tensor memory: `descriptors.SETTING_BYTES`."""


def DEAL(config: Config) -> data.StructLayout:
    """Words that are dealt out to one buffer: a part of a FILL."""
    return data.StructLayout({"target": Target, "address": 16, "count": 16, "words": WORDS(config)})


def WALK(config: Config) -> data.StructLayout:
    """A ROWS command, checked, on its way to the row mover, or an IMAGE."""
    fields = data.UnionLayout({"rows": FIELDS(Rows), "image": FIELDS(Image)})
    return data.StructLayout({"is_image": 1, "fields": fields})


LIMITS = data.StructLayout(
    {
        name: Image.layout()[name][0]
        for name in ("out_width", "out_height", "kernel_width", "kernel_height", "groups")
    }
)
"""Of an IMAGE, what the places that a ROWS names are within."""


def PIXEL(config: Config) -> data.StructLayout:
    """Where the first tap of an output pixel lies: its place, from a ROWS' source on, and its
    coordinates in the image. Rows that are not `there` are zeros."""
    return data.StructLayout(
        {
            "word": 16,
            "lane": range(config.lanes),
            "x": signed(13),
            "y": signed(13),
            "there": 1,
        }
    )


def TAP(config: Config) -> data.StructLayout:
    """A group of a tap: a step from where a pixel lies, in the memory and in the image. For
    training those of rows that are not `there` are zeros."""
    return data.StructLayout(
        {
            "word": 16,
            "lane": range(config.lanes),
            "dx": 8,
            "dy": 8,
            **({"there": 1} if config.training else {}),
        }
    )


def WINDOW(config: Config) -> data.StructLayout:
    """The output pixels that the lanes of a window are for, and the ROWS that asks for them: it
    begins with its `first` window."""
    return data.StructLayout(
        {
            "pixels": data.ArrayLayout(PIXEL(config), config.lanes),
            "first": 1,
            "rows": FIELDS(Rows),
        }
    )


def GATHERED(config: Config) -> data.StructLayout:
    """A group for each lane of a window, to be read wherever they lie: those that are not `needed`
    are zeros. They go to a chunk of a word of the activations' buffer; `end` with a ROWS' last."""
    group = data.StructLayout(
        {"needed": 1, "address": range(config.tensor_words), "lane": range(config.lanes)}
    )
    return data.StructLayout(
        {
            "groups": data.ArrayLayout(group, config.lanes),
            "address": 16,
            "chunk": 8,
            "end": 1,
            **({"turned": TURNED(config)} if config.training else {}),
        }
    )
