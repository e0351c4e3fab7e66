// The simulated device: the accelerator compiled by Verilator behind a C interface for Python.
//
// One `exchange` call runs many cycles, so that Python's cost a call does not matter. All calls
// take the device that `heddle_create` returned; none may be made at the same time as another.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

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

    Device(uint64_t seed, double input_stall, double output_stall)
        : random(seed), input_stall(input_stall), output_stall(output_stall) {
#if VM_TRACE
        context.traceEverOn(true);
#endif
        top = std::make_unique<Vtop>(&context, "heddle");
    }

    // Let the inputs act on the outputs, before the clock's edge.
    void settle() {
        top->clk = 0;
        top->eval();
#if VM_TRACE
        if (trace.isOpen()) trace.dump(2 * cycles);
#endif
    }

    void edge() {
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
    }
    top.s_axis_tvalid = 0;
    top.m_axis_tready = 0;
}

}  // extern "C"
