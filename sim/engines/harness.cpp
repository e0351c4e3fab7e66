// The simulated device: the accelerator compiled by Verilator behind a C interface for Python.
//
// One `exchange` call runs many cycles, so that Python's cost a call does not matter. All calls
// take the device that `heddle_create` returned; none may be made at the same time as another.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#if HEDDLE_EXTERNAL
#include <array>
#include <deque>
#include <unordered_map>
#endif

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE_FST
#include <fstream>

#include "verilated_fst_c.h"
#elif VM_TRACE_VCD
#include <cerrno>

#include "verilated_vcd_c.h"
#endif

namespace {

constexpr size_t kBeat = sizeof(std::remove_reference_t<decltype(Vtop::s_axis_tdata)>);
constexpr int kRegisterTimeout = 1000;  // cycles that an AXI4-Lite transfer may take

// Random numbers for stalls (xorshift64*, Vigna 2016): the same seed, the same stalls.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
    bool chance(double probability) {
        if (probability <= 0) return false;
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545F4914F6CDD1Du >> 11) * 0x1p-53 < probability;
    }

private:
    uint64_t state_;
};

#if HEDDLE_EXTERNAL
// External memory: what the AXI4 port reaches. A request is answered some cycles later, at so many
// beats a cycle both ways together, with random pauses on every channel. Bytes are zeros at first.
class ExternalMemory {
public:
    uint64_t latency = 0;
    double bandwidth = 1;  // beats a cycle
    double stall = 0;      // probability that a cycle is a pause, of each channel
    uint64_t broken = 0, broken_end = 0;  // bytes that answer SLVERR
    bool moved = false;                   // a beat has passed in this cycle

    explicit ExternalMemory(uint64_t seed) : random_(seed ^ 0xE47E) {}

    // The memory's side of the channels, before the clock's edge.
    void offer(Vtop& top, uint64_t now) {
        credit_ = std::min(credit_ + bandwidth, bandwidth + 1);
        top.m_axi_arready = !random_.chance(stall);
        top.m_axi_awready = !random_.chance(stall);
        // What is offered stays until it is taken.
        if (!offers_read_ && !reads_.empty() && reads_.front().due <= now && credit_ >= 1 &&
            !random_.chance(stall)) {
            credit_ -= 1;
            offers_read_ = true;
        }
        top.m_axi_rvalid = offers_read_;
        if (offers_read_) {
            const Burst& burst = reads_.front();
            for (size_t i = 0; i < kBeat; ++i) beat_[i] = load(burst.address + i);
            std::memcpy(&top.m_axi_rdata, beat_.data(), kBeat);
            top.m_axi_rid = burst.id;
            top.m_axi_rresp = bad(burst.address) ? 2 : 0;
            top.m_axi_rlast = burst.beats == 1;
        }
        takes_write_ = !writes_.empty() && credit_ >= 1 && !random_.chance(stall);
        top.m_axi_wready = takes_write_;
        if (!offers_answer_ && !answers_.empty() && answers_.front().due <= now &&
            !random_.chance(stall)) {
            offers_answer_ = true;
        }
        top.m_axi_bvalid = offers_answer_;
        if (offers_answer_) {
            top.m_axi_bid = answers_.front().id;
            top.m_axi_bresp = answers_.front().bad ? 2 : 0;
        }
    }

    // What passed, when the outputs have settled.
    void take(Vtop& top, uint64_t now) {
        moved = (offers_read_ && top.m_axi_rready) || (takes_write_ && top.m_axi_wvalid);
        if (offers_read_ && top.m_axi_rready) {
            offers_read_ = false;
            Burst& burst = reads_.front();
            burst.address += kBeat;
            if (--burst.beats == 0) reads_.pop_front();
        }
        if (offers_answer_ && top.m_axi_bready) {
            offers_answer_ = false;
            answers_.pop_front();
        }
        if (takes_write_ && top.m_axi_wvalid) {
            credit_ -= 1;
            Burst& burst = writes_.front();
            std::memcpy(beat_.data(), &top.m_axi_wdata, kBeat);
            const bool failed = bad(burst.address);
            for (size_t i = 0; i < kBeat && !failed; ++i) {
                if (strobe(top, i)) store(burst.address + i, beat_[i]);
            }
            burst.bad |= failed;
            burst.address += kBeat;
            if (--burst.beats == 0) {
                burst.due = now + latency;
                answers_.push_back(burst);
                writes_.pop_front();
            }
        }
        if (top.m_axi_arvalid && top.m_axi_arready) {
            const uint64_t beats = top.m_axi_arlen + 1;
            reads_.push_back({top.m_axi_araddr, beats, now + latency, top.m_axi_arid, false});
        }
        if (top.m_axi_awvalid && top.m_axi_awready) {
            const uint64_t beats = top.m_axi_awlen + 1;
            writes_.push_back({top.m_axi_awaddr, beats, 0, top.m_axi_awid, false});
        }
    }

private:
    static constexpr uint64_t kPage = 1 << 12;
    struct Burst {
        uint64_t address, beats, due;
        uint8_t id;
        bool bad;
    };

    bool bad(uint64_t address) const {
        return address < broken_end && address + kBeat > broken;
    }
    static bool strobe(const Vtop& top, size_t byte) {
        uint8_t strobes[(kBeat + 7) / 8];
        std::memcpy(strobes, &top.m_axi_wstrb, sizeof strobes);
        return strobes[byte / 8] >> byte % 8 & 1;
    }
    uint8_t load(uint64_t address) const {
        const auto page = pages_.find(address / kPage);
        return page == pages_.end() ? 0 : page->second[address % kPage];
    }
    void store(uint64_t address, uint8_t value) {
        pages_[address / kPage][address % kPage] = value;
    }

    Random random_;
    double credit_ = 0;
    bool offers_read_ = false, offers_answer_ = false, takes_write_ = false;
    std::deque<Burst> reads_, writes_, answers_;
    std::array<uint8_t, kBeat> beat_{};
    std::unordered_map<uint64_t, std::array<uint8_t, kPage>> pages_;
};
#endif

#if VM_TRACE_FST
// Waveforms in a file, and whether all of them are there.
class Trace {
public:
    bool isOpen() const { return fst_.isOpen(); }
    void open(const char* path) {
        path_ = path;
        fst_.open(path);
    }
    void dump(uint64_t time) { fst_.dump(time); }
    void close() { fst_.close(); }
    VerilatedFstC* writer() { return &fst_; }
    // After `close`. The writer fills in the header last, and only if everything before it
    // could be written: a block of type 0 and 329 bytes.
    bool complete() const {
        const char header[] = {0, 0, 0, 0, 0, 0, 0, 1, 73};
        char found[sizeof header] = {1};
        std::ifstream(path_, std::ios::binary).read(found, sizeof found);
        return std::memcmp(header, found, sizeof header) == 0;
    }

private:
    std::string path_;
    VerilatedFstC fst_;
};
#elif VM_TRACE_VCD
// A file that takes what cannot be written too, where Verilator's ends the process.
class VcdFile : public VerilatedVcdFile {
public:
    ssize_t write(const char* data, ssize_t size) override {
        if (failed) return size;
        const ssize_t written = VerilatedVcdFile::write(data, size);
        if (written >= 0 || errno == EAGAIN || errno == EINTR) return written;
        failed = true;
        return size;
    }
    bool failed = false;
};

// Waveforms in a file, and whether all of them are there.
class Trace {
public:
    bool isOpen() const { return vcd_.isOpen(); }
    void open(const char* path) { vcd_.open(path); }
    void dump(uint64_t time) { vcd_.dump(time); }
    void close() { vcd_.close(); }
    bool complete() const { return !file_.failed; }
    VerilatedVcdC* writer() { return &vcd_; }

private:
    VcdFile file_;
    VerilatedVcdC vcd_{&file_};
};
#endif

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// What `heddle_exchange` works on; sw/transports/simulated.py has the same structure.
struct Exchange {
    const uint8_t* input;       // beats to send
    const uint8_t* input_last;  // one byte a beat: whether it ends its packet
    uint64_t input_beats;
    uint64_t sent;  // beats taken by the device so far
    uint8_t* output;
    uint8_t* output_last;
    uint64_t output_beats;  // room
    uint64_t received;      // beats from the device so far
    uint64_t packets;       // packets still to receive
    uint64_t idle;          // cycles since a beat last moved
    uint64_t offered;       // whether the next beat has been shown to the device
};

struct Device {
    VerilatedContext context;
    std::unique_ptr<Vtop> top;
#if VM_TRACE
    Trace trace;
#endif
    Random random;
    double input_stall, output_stall;
    uint64_t cycles = 0;
#if HEDDLE_EXTERNAL
    ExternalMemory external;
#endif

    Device(uint64_t seed, double input_stall, double output_stall)
        : random(seed),
          input_stall(input_stall),
#if HEDDLE_EXTERNAL
          output_stall(output_stall),
          external(seed) {
#else
          output_stall(output_stall) {
#endif
#if VM_TRACE
        context.traceEverOn(true);
#endif
        top = std::make_unique<Vtop>(&context, "heddle");
    }

    // Let the inputs act on the outputs, before the clock's edge.
    void settle() {
        top->clk = 0;
#if HEDDLE_EXTERNAL
        external.offer(*top, cycles);
#endif
        top->eval();
#if VM_TRACE
        if (trace.isOpen()) trace.dump(2 * cycles);
#endif
    }

    void edge() {
#if HEDDLE_EXTERNAL
        external.take(*top, cycles);
#endif
        top->clk = 1;
        top->eval();
#if VM_TRACE
        if (trace.isOpen()) trace.dump(2 * cycles + 1);
#endif
        ++cycles;
    }

    void cycle() {
        settle();
        edge();
    }
};

// How external memory behaves, if the device has any; see `ExternalMemory`.
void heddle_external(Device* device, uint64_t latency, double bandwidth, double stall,
                     uint64_t broken, uint64_t broken_end) {
#if HEDDLE_EXTERNAL
    device->external.latency = latency;
    device->external.bandwidth = bandwidth;
    device->external.stall = stall;
    device->external.broken = broken;
    device->external.broken_end = broken_end;
#endif
}

// A device after reset, or null if the trace file cannot be written. `trace` may be null.
Device* heddle_create(const char* trace, uint64_t seed, double input_stall, double output_stall) {
    auto device = std::make_unique<Device>(seed, input_stall, output_stall);
#if VM_TRACE
    if (trace) {
        device->top->trace(device->trace.writer(), 99);
        device->trace.open(trace);
        if (!device->trace.isOpen()) return nullptr;
    }
#endif
    device->top->rst = 1;
    device->cycle();
    device->cycle();
    device->top->rst = 0;
    return device.release();
}

// Returns false if there is a trace that could not be written whole.
bool heddle_destroy(Device* device) {
    bool complete = true;
    device->top->final();
#if VM_TRACE
    if (device->trace.isOpen()) {
        device->trace.close();
        complete = device->trace.complete();
    }
#endif
    delete device;
    return complete;
}

uint64_t heddle_cycles(const Device* device) { return device->cycles; }

uint64_t heddle_beat_bytes() { return kBeat; }

// Both return whether the device answered in time with OKAY.
bool heddle_read(Device* device, uint32_t address, uint32_t* value) {
    Vtop& top = *device->top;
    top.s_axil_araddr = address;
    top.s_axil_arvalid = 1;
    top.s_axil_rready = 1;
    bool done = false, okay = false;
    for (int i = 0; i < kRegisterTimeout && !done; ++i) {
        device->settle();
        const bool accepted = top.s_axil_arvalid && top.s_axil_arready;
        if (top.s_axil_rvalid) {
            *value = top.s_axil_rdata;
            okay = top.s_axil_rresp == 0;
            done = true;
        }
        device->edge();
        if (accepted) top.s_axil_arvalid = 0;
    }
    top.s_axil_arvalid = 0;
    top.s_axil_rready = 0;
    return okay;
}

bool heddle_write(Device* device, uint32_t address, uint32_t value) {
    Vtop& top = *device->top;
    top.s_axil_awaddr = address;
    top.s_axil_awvalid = 1;
    top.s_axil_wdata = value;
    top.s_axil_wstrb = 0xF;
    top.s_axil_wvalid = 1;
    top.s_axil_bready = 1;
    bool done = false, okay = false;
    for (int i = 0; i < kRegisterTimeout && !done; ++i) {
        device->settle();
        const bool address_taken = top.s_axil_awvalid && top.s_axil_awready;
        const bool data_taken = top.s_axil_wvalid && top.s_axil_wready;
        if (top.s_axil_bvalid) {
            okay = top.s_axil_bresp == 0;
            done = true;
        }
        device->edge();
        if (address_taken) top.s_axil_awvalid = 0;
        if (data_taken) top.s_axil_wvalid = 0;
    }
    top.s_axil_awvalid = 0;
    top.s_axil_wvalid = 0;
    top.s_axil_bready = 0;
    return okay;
}

// Run until everything is sent and received, the output is full, or `cycles` have passed.
void heddle_exchange(Device* device, Exchange* x, uint64_t cycles) {
    Vtop& top = *device->top;
    const auto unfinished = [x] { return x->packets || x->sent < x->input_beats; };
    for (; cycles && unfinished() && x->received < x->output_beats; --cycles) {
        // A beat that has been offered stays until it is taken, as AXI4-Stream demands.
        if (!x->offered && x->sent < x->input_beats &&
            !device->random.chance(device->input_stall)) {
            x->offered = 1;
        }
        if (x->offered) {
            std::memcpy(&top.s_axis_tdata, x->input + x->sent * kBeat, kBeat);
            top.s_axis_tlast = x->input_last[x->sent];
        }
        top.s_axis_tvalid = x->offered;
        top.m_axis_tready = !device->random.chance(device->output_stall);
        device->settle();
        ++x->idle;
        if (x->offered && top.s_axis_tready) {
            ++x->sent;
            x->idle = 0;
            x->offered = 0;
        }
        if (top.m_axis_tvalid && top.m_axis_tready) {
            std::memcpy(x->output + x->received * kBeat, &top.m_axis_tdata, kBeat);
            x->output_last[x->received] = top.m_axis_tlast;
            x->packets -= x->packets && top.m_axis_tlast;
            ++x->received;
            x->idle = 0;
        }
        device->edge();
#if HEDDLE_EXTERNAL
        if (device->external.moved) x->idle = 0;
#endif
    }
    top.s_axis_tvalid = 0;
    top.m_axis_tready = 0;
}

}  // extern "C"
#pragma GCC visibility pop
