"""Everything between the two host streams."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array.array import Array
from .array.drain import DrainControl
from .buffers.activations import ActivationFeeder
from .buffers.weights import WeightFeeder
from .config import Config
from .control import engine_events
from .control.array_waits import ArrayWaits
from .control.counters import EVENTS
from .control.issuer import Issuer
from .control.metadata import MetadataReader
from .control.response import ResponseWriter
from .control.sequencer import Sequencer
from .copy.engine import CopyEngine
from .copy.port import TRAFFIC
from .isa.codes import Flag, Target
from .isa.descriptors import GUARDS
from .isa.engines import Engine
from .isa.maps import address_bits
from .layouts.array import PAGE_NUMBERS, settings_signature, write_signature
from .layouts.stream import beat
from .layouts.tensor import WRITE_PORT
from .lib.connect import connect_checked, either
from .lib.library import Library, instantiate
from .lib.pipeline import delay, register, register_unless
from .output.lane_group import LaneGroup
from .output.row_reader import RowReader
from .prune.engine import VectorEngine
from .tensor.beats import BeatReader
from .tensor.filler import Filler
from .tensor.memory import TensorMemory
from .tensor.rows import RowMover
from .tensor.share import PortShare
from .tensor.side import SideReader
from .tensor.store import Store
from .vector.unit import VectorUnit


class Core(wiring.Component):
    """The accelerator without its registers.

        i ─► Sequencer ─┬─ write bus ─► activation, weight and schedule buffers
                        ├─ settings bus ─► lane groups
                        └─ RUNs ─► MetadataReader ─► Issuer ─► feeders ─► Array
                                                                           │ sums
        o ◄─ ResponseWriter ◄─────── RowReader ◄──────── LaneGroups ◄─────┘

    A lane group is one epilogue and the columns that share it. Nothing on the array's way ever
    stalls: the issuer starts only what can finish. A reset must last `settle` cycles, until what
    was on its way has left the parts that keep no state.

    Members
    -------
    i, o : streams of layouts.beat
    flags : In(8), the sticky flags that responses report
    events : Out(counters.EVENTS(config))
    external : Out(copy.port.TRAFFIC), external memory, if there is one
    """

    @staticmethod
    def drain_delay(config: Config) -> int:
        """Cycles from the issue of a tile's last slot to its first sum at column 0's lane group."""
        return 2 + Array.latency(config)

    @staticmethod
    def settle(config: Config) -> int:
        """Cycles that a reset must last."""
        return Core.drain_delay(config) + config.columns + LaneGroup.settle + 16

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        self.side = SideReader(config) if config.tensor_words else None
        self.storing = Signal()
        """Results go into tensor memory in this cycle."""
        self.setting = Signal()
        """A FILL is at work on column settings."""
        self.counted: dict[str, Value] = {}
        """What the engines do in a cycle, by the names of `isa.engine_counters`."""
        self.flagged: dict[Flag, list[Value]] = {flag: [] for flag in Flag}
        """What sets each flag."""
        external = {}
        if config.external_bits:
            external = {"external": Out(TRAFFIC(config))}
        super().__init__(
            {
                "i": In(stream.Signature(beat(config))),
                "o": Out(stream.Signature(beat(config))),
                "flags": In(8),
                "events": Out(EVENTS(config)),
                **external,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, library = self.config, self.library
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.activations = activations = ActivationFeeder(config, library)
        m.submodules.weights = weights = WeightFeeder(config, library)
        m.submodules.schedule = schedule = MetadataReader(config)
        m.submodules.issuer = issuer = Issuer(config)
        m.submodules.array = array = Array(config, library)
        m.submodules.drain = drain = DrainControl(config, self.drain_delay(config))
        m.submodules.rows = rows = RowReader(config)
        m.submodules.response = response = ResponseWriter(config)
        shared = config.columns_per_epilogue
        groups = [
            instantiate(m, f"output_{g}", LaneGroup, config, library=library)
            for g in range(config.columns // shared)
        ]

        connect_checked(m, wiring.flipped(self.i), sequencer.i)
        connect_checked(m, sequencer.run, schedule.run)
        connect_checked(m, schedule.records, issuer.records)
        connect_checked(m, issuer.finish, drain.finish)
        connect_checked(m, sequencer.response, response.response)
        connect_checked(m, rows.host, response.row)
        connect_checked(m, response.o, wiring.flipped(self.o))
        bus = sequencer.settings
        if config.tensor_words:
            bus = self._tensors(m, sequencer, rows, response, activations, weights, schedule)
            self._side(m, sequencer, groups)
            m.d.comb += issuer.row_taken.eq(rows.sums_left)
        else:
            m.d.comb += issuer.row_taken.eq(rows.row_taken)
            connect_checked(m, response.wanted, rows.wanted)
            connect_checked(m, sequencer.write, activations.write, weights.write, schedule.write)
        m.d.comb += [
            activations.address.eq(issuer.activation_address),
            activations.load.eq(issuer.load),
            weights.address.eq(issuer.slot_address),
            weights.valid.eq(issuer.valid),
            weights.last.eq(issuer.last),
            response.flags.eq(self.flags),
        ]
        if config.training:
            names = "index_address", "mute", "holding"
            m.d.comb += [getattr(weights, name).eq(getattr(issuer, name)) for name in names]
        for r, link in enumerate(activations.groups):
            connect_checked(m, link, array.west[r])
        for c, link in enumerate(weights.weights):
            connect_checked(m, link, array.north[c])
        # The bus reaches all columns. RUNs that use what it sets come many cycles later, so it may
        # take one more.
        settings = {name: getattr(bus, name) for name in bus.signature.members}
        settings = register_unless(config.compact, m, "settings", settings)
        for g, group in enumerate(groups):
            m.d.comb += [
                getattr(group.settings, name).eq(value) for name, value in settings.items()
            ]
            m.d.comb += [
                group.number.eq(g),
                group.row_taken.eq(rows.row_taken),
            ]
            for i in range(shared):
                column = g * shared + i
                connect_checked(m, drain.columns[column], group.rows[i])
                m.d.comb += [
                    group.sums[i].eq(array.sums[column]),
                    rows.columns[column].eq(group.row[i]),
                ]

        # The last group finishes a row no earlier than the others: its sums come last.
        connect_checked(m, groups[-1].release, sequencer.release_settings)
        m.d.comb += rows.row_there.eq(groups[-1].row_there)
        self._release_pages(m, sequencer, issuer)
        self._count(m, sequencer, schedule, issuer, weights, drain, response)
        self.flagged[Flag.NONFINITE_ACTIVATION].append(activations.nonfinite)
        if config.tensor_words:
            self.flagged[Flag.NONFINITE_ACTIVATION] += [g.nonfinite for g in groups]
        self.flagged[Flag.NONFINITE_WEIGHT].append(weights.nonfinite)
        self.flagged[Flag.OVERFLOW] += [g.overflow for g in groups]
        self.flagged[Flag.SATURATED] += [g.saturated for g in groups]
        for flag, causes in self.flagged.items():
            m.d.comb += self.events.flag_set[flag].eq(Cat(causes).any())
        return m

    def _tensors(self, m: Module, sequencer, rows, response, activations, weights, schedule):
        """Tensor memory, what moves words from it to the buffers and rows into it, and READs;
        returns the bus that sets columns."""
        config = self.config
        m.submodules.memory = memory = TensorMemory(config, self.library)
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.filler = filler = Filler(config)
        m.submodules.mover = mover = RowMover(config)
        m.submodules.share = share = PortShare(config)
        m.submodules.store = store = Store(config)
        # A WRITE waits for all that stores; the others, in each cycle, for the store.
        others, filling = sequencer.memory, filler.port
        if config.external_bits:
            others, filling = self._copies(m, sequencer, response, filling)
        if config.vector_lanes:
            others, filling = self._vector(m, sequencer, store, others, filling)
        else:
            m.d.comb += self.storing.eq(store.writing)
        either(m, memory.write, store.writing, store.port, others)
        connect_checked(m, sequencer.output, rows.wanted)
        connect_checked(m, rows.memory, store.row)
        m.d.comb += store.run.eq(rows.run)
        connect_checked(m, response.words, reader.words)
        connect_checked(m, reader.o, response.beats)
        connect_checked(m, sequencer.fill, filler.fills)
        connect_checked(m, sequencer.row, mover.rows)
        connect_checked(m, reader.port, share.readers[0])
        connect_checked(m, mover.port, share.readers[1])
        connect_checked(m, share.port, memory.reads[0])
        m.submodules.beside = beside = PortShare(config)
        m.submodules.side = side = self.side
        connect_checked(m, filling, beside.readers[0])
        connect_checked(m, side.port, beside.readers[1])
        connect_checked(m, beside.port, memory.reads[1])
        # Only one of them writes to a buffer: a LOAD waits until no mover is at work.
        write = write_signature(config).create(path=("write",))
        either(m, write, filler.write.valid, filler.write, sequencer.write)
        either(m, activations.write, mover.write.valid, mover.write, write)
        either(m, weights.indices, filler.indices.valid, filler.indices, write)
        if config.training:
            m.d.comb += [activations.turned.eq(mover.turned), weights.skewed.eq(filler.skewed)]
        settings = settings_signature(config).create(path=("setting",))
        either(m, settings, filler.settings.valid, filler.settings, sequencer.settings)
        connect_checked(m, write, weights.write, schedule.write)
        m.d.comb += [
            sequencer.read_done.eq(reader.asked),
            sequencer.finished[Engine.FILL].eq(filler.finished),
            sequencer.finished[Engine.ROWS].eq(mover.finished),
            sequencer.finished[Engine.ARRAY].eq(sequencer.release.valid),
            sequencer.finished[Engine.STORE].eq(store.finished),
        ]
        self.flagged[Flag.FAULT] += [filler.faults.any(), mover.fault]
        m.d.comb += self.setting.eq(filler.setting)
        readers = {"fill": filler.port, "rows": mover.port, "side": side.port}
        self.counted |= engine_events.of_reads(readers) | {
            "host_read": reader.port.valid & reader.port.ready,
            "host_written": sequencer.memory.enable.any(),
            "store_busy": store.writing,
            "store_array": sequencer.states[Engine.STORE].busy & ~store.writing,
        }
        return settings

    def _vector(self, m: Module, sequencer, store: Store, others, filling):
        """The vector unit before who else writes to tensor memory and reads it; returns its ports
        with those of them."""
        config = self.config
        engine = VectorEngine if config.prunes else VectorUnit
        m.submodules.vector = vector = engine(config, self.library)
        if config.prunes:
            m.d.comb += vector.unsafe.eq(Cat(self.flags[flag] for flag in GUARDS).any())
        m.submodules.vector_share = share = PortShare(config)
        connect_checked(m, sequencer.vector, vector.vectors)
        connect_checked(m, filling, share.readers[0])
        connect_checked(m, vector.port, share.readers[1])
        writes = vector.write.enable.any()
        write = WRITE_PORT(config).create(path=("write_beside",))
        either(m, write, writes, vector.write, others)
        m.d.comb += [
            vector.grant.eq(~store.writing),
            sequencer.finished[Engine.VECTOR].eq(vector.finished),
            self.storing.eq(store.writing | writes),
        ]
        self.counted |= {
            "vector_memory": vector.waits,
            "vector_read": vector.port.valid & vector.port.ready,
            "vector_written": writes,
        }
        for flag in (Flag.OVERFLOW, Flag.SATURATED, Flag.FAULT):
            self.flagged[flag].append(getattr(vector, flag.name.lower()))
        return write, share.port

    def _side(self, m: Module, sequencer, groups):
        """Side operands to the columns whose sums they go with."""
        side, shared = self.side, self.config.columns_per_epilogue
        connect_checked(m, sequencer.side, side.runs)
        connect_checked(m, groups[-1].freed, side.freed)
        for c, column in enumerate(side.columns):
            connect_checked(m, column, groups[c // shared].side[c % shared])

    def _copies(self, m: Module, sequencer, response, filling):
        """The copy engine, which shares a read port of tensor memory with `filling`, and writes
        while neither the store nor the vector unit does. Returns its ports with the host's and with
        `filling`."""
        config = self.config
        m.submodules.copy = copy = CopyEngine(config)
        m.submodules.share_copy = share = PortShare(config)
        connect_checked(m, filling, share.readers[0])
        connect_checked(m, copy.reads, share.readers[1])
        connect_checked(m, sequencer.copy, copy.copies)
        connect_checked(m, sequencer.given, copy.given)
        connect_checked(m, copy.taken, response.external)
        connect_checked(m, copy.traffic, wiring.flipped(self.external))
        m.d.comb += [
            copy.granted.eq(~self.storing),
            sequencer.finished[Engine.COPY].eq(copy.finished),
        ]
        came, goes = copy.traffic.came, copy.traffic.goes
        self.counted |= {
            "copy_memory": copy.waits_inside,
            "copy_external": copy.waits_outside,
            "copy_read": copy.reads.valid & copy.reads.ready,
            "copy_written": copy.writes.enable.any(),
            "external_read": came.valid & came.ready,
            "external_written": goes.valid & goes.ready,
        }
        self.flagged[Flag.EXTERNAL].append(copy.fault)
        given = WRITE_PORT(config).create(path=("given",))
        either(m, given, copy.writes.enable.any(), copy.writes, sequencer.memory)
        return given, share.port

    def _release_pages(self, m: Module, sequencer, issuer):
        """A RUN's pages are free once the last, most skewed bank has read them."""
        config = self.config
        record = issuer.records.payload
        token = Signal(data.StructLayout({"valid": 1, "pages": PAGE_NUMBERS(config)}))
        top = {target: bits - 1 for target, bits in address_bits(config).items()}
        m.d.comb += [
            token.valid.eq(issuer.end),
            token.pages.activations.eq(record.address[top[Target.ACTIVATIONS]]),
            token.pages.weights.eq(record.slot_base[top[Target.VALUES]]),
            token.pages.schedule.eq(record.schedule_page),
        ]
        token = delay(m, "release", token, 1 + max(config.rows, config.columns))
        m.d.comb += [
            sequencer.release.valid.eq(token.valid),
            sequencer.release.pages.eq(token.pages),
        ]

    def _count(self, m: Module, sequencer, schedule, issuer, weights, drain, response):
        """Events for the counters, and whether anything is under way."""
        config = self.config
        accepted = sequencer.run.valid & sequencer.run.ready
        # A RUN that sends nothing out has ended with its last slot.
        silent_end = issuer.end & ~issuer.end_finish
        in_flight, nothing = Signal(8), ~issuer.records.valid
        ended = Signal(2)
        m.d.sync += [
            ended.eq(silent_end + sequencer.release_settings.valid),
            in_flight.eq(in_flight + accepted - ended),
        ]
        if config.tensor_words:
            running = (in_flight != 0) | sequencer.working
            self._count_engines(m, sequencer, schedule, running, nothing)
        # The issuer decides late in its cycle, so events are registered, all of one cycle together:
        # with T = 1 each cycle between two issues is an issue or has one cause of waiting.
        seen = register(
            m,
            "seen",
            {
                "issue": issuer.valid | issuer.finish.valid,
                "drains": drain.columns[0].valid,
                "tile": issuer.finish.valid,
                "stall_drain": issuer.stall_drain,
                "stall_output": issuer.stall_output,
                "stall_schedule": schedule.active & nothing,
                "stall_host": ~schedule.active & nothing,
                **engine_events.kept(config, self.counted),
            },
        )
        # A tile's sums drain only after its own last slot.
        overlap = seen["issue"] & seen.pop("drains")
        m.d.comb += [getattr(self.events, name).eq(event) for name, event in seen.items()]
        m.d.comb += [
            sequencer.idle.eq(in_flight == 0),
            self.events.busy.eq(in_flight != 0),
            self.events.overlap.eq(overlap),
            self.events.nonzero.eq(weights.nonzero),
            self.events.answered.eq(sequencer.answered),
            self.events.errored.eq(sequencer.errored),
            self.events.last_output.eq(response.last_output | self.storing),
        ]

    def _count_engines(self, m: Module, sequencer, schedule, running, nothing):
        """What the engines do while anything is `running`, and why the array has `nothing` to
        issue."""
        m.submodules.array_waits = waits = ArrayWaits()
        next_run = sequencer.states[Engine.ARRAY]
        m.d.comb += [
            waits.waits.eq(running & nothing),
            waits.reading.eq(schedule.active),
            waits.run.eq(next_run.busy),
            waits.late.eq(next_run.waits),
            waits.full.eq(Cat(state.full for state in sequencer.states)),
            waits.setting.eq(self.setting),
            waits.syncs.eq(sequencer.syncs),
            waits.starved.eq(sequencer.i.ready & ~sequencer.i.valid),
        ]
        self.counted |= {"running": running, **engine_events.of_states(sequencer.states)}
        self.counted |= {name: waits.causes[name] for name in waits.causes.shape().members}
