"""The steps of a plan as command packets, and where the outputs of each belong."""

from collections.abc import Iterable, Iterator

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa import commands
from ...hw.isa.commands import ALL_COLUMNS, Target
from ...hw.isa.host_stream import elements_payload, indices_payload, packet_of
from .settings import Settings
from .steps import Load, Run, Sent, Setting, Step

Sending = tuple[commands.Command, bytes]
"""A command, and the payload that goes with it."""


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
                made = [self._load(step)]
            elif isinstance(step, Setting):
                made = list(self._settings(step))
            else:
                made = [self._run(step)]
                place = self._place(step.run)
            for command, payload in made:
                packets.append(packet_of(self.config, command, payload, len(packets)))
                places.append(place)
        return packets, places

    def _load(self, load: Load) -> Sending:
        words = load.words
        if load.target is Target.INDICES:
            payload = indices_payload(words)
        elif load.target is Target.SCHEDULE:
            payload = words.tobytes()
        else:
            payload = elements_payload(self.config, words)
        return commands.Load(load.target, load.address, len(words)), payload

    def _settings(self, setting: Setting) -> Iterator[Sending]:
        config, settings = self.config, self.settings
        first = setting.column_block * config.tile_columns
        for n in range(setting.commands):
            context, column = divmod(n, 1 if settings.uniform else config.columns)
            at = 0 if settings.uniform else first + n
            command = commands.ColumnSettings(
                column=ALL_COLUMNS if settings.uniform else column,
                entry=setting.page * config.interleave + context,
                scale=settings.scale[at],
                exponent=settings.exponent[at],
                bias=settings.bias[at],
            )
            yield command, b""

    def _run(self, sent: Sent) -> Sending:
        command = commands.Run(
            finish=sent.run.finish,
            relu=self.relu,
            output=self.output,
            settings_page=sent.settings_page,
            **sent.run.fields,
        )
        return command, b""

    def _place(self, run: Run) -> tuple[slice, slice] | None:
        """Where a RUN's outputs go; None if its sums stay."""
        if not run.finish:
            return None
        rows, wide, at = self.config.rows, self.config.tile_columns, run.column_block
        return (
            slice(run.row_blocks.start * rows, run.row_blocks.stop * rows),
            slice(at * wide, (at + 1) * wide),
        )
