"""The steps of a plan as command packets, and where the outputs of each belong."""

import struct
from collections.abc import Iterable, Iterator

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa import commands
from ...hw.isa.codes import Target
from ...hw.isa.commands import ALL_COLUMNS
from ...hw.isa.descriptors import SETTING_BYTES
from ...hw.isa.host_stream import elements_payload, indices_payload, packet_of
from .settings import Settings
from .steps import Load, Run, Sent, Setting, Step


def commands_for(config: Config, outputs: int, uniform: bool, column_block: int) -> int:
    """How many commands bring a column block of so many outputs its settings."""
    if uniform:
        return config.interleave
    wide = config.tile_columns
    return min(wide, outputs - column_block * wide)


class Encoder:
    """Packets of one product, whose outputs have `settings`, `relu` and a format."""

    def __init__(self, config: Config, settings: Settings, relu: bool, output: OutputFormat):
        self.config, self.settings = config, settings
        self.relu, self.output = relu, output

    def packets(
        self, steps: Iterable[Step]
    ) -> tuple[list[bytes], list[tuple[slice, slice] | None]]:
        """Command packets, and for each the rows and columns of its response's outputs."""
        packets: list[bytes] = []
        places: list[tuple[slice, slice] | None] = []
        for step in steps:
            place = None
            if isinstance(step, Load):
                made = [(self.load(step), self.payload(step))]
            elif isinstance(step, Setting):
                made = [(command, b"") for command in self.settings_of(step)]
            else:
                made = [(self.run(step), b"")]
                place = self._place(step.run)
            for command, payload in made:
                packets.append(packet_of(self.config, command, payload, len(packets)))
                places.append(place)
        return packets, places

    def load(self, load: Load) -> commands.Load:
        return commands.Load(load.target, load.address, len(load.words))

    def payload(self, load: Load) -> bytes:
        """What a buffer is filled with, as it travels."""
        if load.target is Target.INDICES:
            return indices_payload(load.words)
        if load.target is Target.SCHEDULE:
            return load.words.tobytes()
        return elements_payload(self.config, load.words)

    def settings_of(self, setting: Setting) -> Iterator[commands.ColumnSettings]:
        """A column block's settings."""
        config, settings = self.config, self.settings
        first = setting.column_block * config.tile_columns
        for n in range(setting.commands):
            context, column = divmod(n, 1 if settings.uniform else config.columns)
            at = 0 if settings.uniform else first + n
            yield commands.ColumnSettings(
                column=ALL_COLUMNS if settings.uniform else column,
                entry=setting.page * config.interleave + context,
                scale=settings.scale[at],
                exponent=settings.exponent[at],
                bias=settings.bias[at],
            )

    def setting(self, block: int, page: int) -> Setting:
        """A column block's settings, for a page of them."""
        settings = self.settings
        count = commands_for(self.config, len(settings.bias), settings.uniform, block)
        return Setting(block, page, count)

    def settings_payload(self, setting: Setting) -> bytes:
        """A column block's settings as they lie in tensor memory; zeros for columns beyond it."""
        made = [
            struct.pack("<HhQi", s.scale, s.exponent, s.bias & (1 << 64) - 1, s.bias >> 64)
            for s in self.settings_of(setting)
        ]
        if self.settings.uniform:
            made *= self.config.columns
        return b"".join(made).ljust(self.config.columns * SETTING_BYTES, b"\0")

    def run(self, sent: Sent) -> commands.Run:
        return commands.Run(
            finish=sent.run.finish,
            relu=self.relu,
            # Of sums that stay nothing goes out, and RAW only to memory.
            output=self.output if sent.run.finish else OutputFormat.FP32,
            settings_page=sent.settings_page,
            **sent.run.fields,
        )

    def _place(self, run: Run) -> tuple[slice, slice] | None:
        """Where a RUN's outputs go; None if its sums stay."""
        if not run.finish:
            return None
        rows, wide, at = self.config.rows, self.config.tile_columns, run.column_block
        return (
            slice(run.row_blocks.start * rows, run.row_blocks.stop * rows),
            slice(at * wide, (at + 1) * wide),
        )
