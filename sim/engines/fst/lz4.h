// The part of LZ4's interface that Verilator's FST writer uses, so that waveforms need no library
// on the machine. Writes the LZ4 block format (lz4/doc/lz4_Block_format.md), greedily.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

// Compresses `size` bytes; `capacity` must be at least LZ4_compressBound(size).
inline int LZ4_compress_default(const char* source, char* target, int size, int) {
    constexpr int kMatch = 4, kEnd = 12, kHashBits = 14, kReach = 65535;
    const auto* in = reinterpret_cast<const uint8_t*>(source);
    auto* out = reinterpret_cast<uint8_t*>(target);
    const auto word = [in](int at) {
        uint32_t value;
        std::memcpy(&value, in + at, sizeof value);
        return value;
    };
    const auto lengthen = [&out](int rest) {
        for (; rest >= 255; rest -= 255) *out++ = 255;
        *out++ = static_cast<uint8_t>(rest);
    };
    // A sequence: a token, literals from `anchor`, and a match of `length` bytes `distance` back.
    const auto emit = [&](int anchor, int literals, int distance, int length) {
        uint8_t* token = out++;
        *token = static_cast<uint8_t>((literals < 15 ? literals : 15) << 4);
        if (literals >= 15) lengthen(literals - 15);
        if (literals) std::memcpy(out, in + anchor, literals);
        out += literals;
        if (!length) return;  // the last sequence has literals only
        *out++ = static_cast<uint8_t>(distance);
        *out++ = static_cast<uint8_t>(distance >> 8);
        const int extra = length - kMatch;
        *token |= static_cast<uint8_t>(extra < 15 ? extra : 15);
        if (extra >= 15) lengthen(extra - 15);
    };

    std::vector<int> seen(1 << kHashBits, -1);
    int anchor = 0;
    for (int at = 0; at + kEnd < size;) {
        int& last = seen[word(at) * 2654435761u >> (32 - kHashBits)];
        const int candidate = last;
        last = at;
        if (candidate < 0 || at - candidate > kReach || word(candidate) != word(at)) {
            ++at;
            continue;
        }
        int length = kMatch;
        // The last five bytes of a block are always literals.
        while (at + length < size - 5 && in[candidate + length] == in[at + length]) ++length;
        emit(anchor, at - anchor, at - candidate, length);
        at += length;
        anchor = at;
    }
    emit(anchor, size - anchor, 0, 0);
    return static_cast<int>(out - reinterpret_cast<uint8_t*>(target));
}
