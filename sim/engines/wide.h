// Numbers of a few words of 32 bits, kept in the processor's registers.
//
// Verilator's own functions work word by word in memory, in loops that the compiler does not
// unroll. These do the same by numbers of 128 bits or, where a number is longer, word by word
// without a loop, so that words that nobody reads are never formed. The generated C++ includes
// this file after Verilator's headers; a compiler without 128-bit numbers keeps Verilator's functions.

#ifndef HEDDLE_WIDE_H_
#define HEDDLE_WIDE_H_

#include "verilated.h"

#ifdef __SIZEOF_INT128__
#include <cstring>
#include <utility>

namespace wide {

template <int kWords>
VL_ATTR_ALWINLINE unsigned __int128 load(WDataInP from) {
    static_assert(kWords >= 1 && kWords <= 4, "at most 128 bits");
    uint64_t low = from[0], high = 0;
    if (kWords > 1) low |= uint64_t{from[1]} << 32;
    if (kWords > 2) high = from[2];
    if (kWords > 3) high |= uint64_t{from[3]} << 32;
    return static_cast<unsigned __int128>(high) << 64 | low;
}

template <int kWords>
VL_ATTR_ALWINLINE WDataOutP store(WDataOutP to, unsigned __int128 value) {
    to[0] = static_cast<EData>(value);
    if (kWords > 1) to[1] = static_cast<EData>(value >> 32);
    if (kWords > 2) to[2] = static_cast<EData>(value >> 64);
    if (kWords > 3) to[3] = static_cast<EData>(value >> 96);
    return to;
}

template <int kWords>
VL_ATTR_ALWINLINE WDataOutP add(WDataOutP to, WDataInP left, WDataInP right) {
    if constexpr (kWords <= 4) {
        return store<kWords>(to, load<kWords>(left) + load<kWords>(right));
    } else {
        return VL_ADD_W(kWords, to, left, right);
    }
}

// Two neighbouring words, of which those beyond the number are zeros.
template <int kWords>
VL_ATTR_ALWINLINE uint64_t pair(WDataInP from, int low) {
    const uint64_t high = low + 1 >= 0 && low + 1 < kWords ? from[low + 1] : 0;
    return high << 32 | (low >= 0 && low < kWords ? from[low] : 0);
}

template <int kWords, size_t... kIndex>
VL_ATTR_ALWINLINE void shift_left(WDataOutP to, WDataInP from, int words, int bits,
                              std::index_sequence<kIndex...>) {
    ((to[kIndex] = static_cast<EData>(
          pair<kWords>(from, static_cast<int>(kIndex) - words - 1) << bits >> 32)),
     ...);
}

template <int kWords, size_t... kIndex>
VL_ATTR_ALWINLINE void shift_right(WDataOutP to, WDataInP from, int words, int bits,
                               std::index_sequence<kIndex...>) {
    ((to[kIndex] =
          static_cast<EData>(pair<kWords>(from, static_cast<int>(kIndex) + words) >> bits)),
     ...);
}

template <int kBits>
VL_ATTR_ALWINLINE WDataOutP shift_left(WDataOutP to, WDataInP from, IData by) {
    constexpr int kWords = VL_WORDS_I(kBits);
    if constexpr (kWords <= 4) {
        return store<kWords>(to, by >= kBits ? 0 : load<kWords>(from) << by);
    } else {
        const int words = by >= kBits ? kWords : by / 32;
        shift_left<kWords>(to, from, words, by % 32, std::make_index_sequence<kWords>());
        return to;
    }
}

template <int kBits>
VL_ATTR_ALWINLINE WDataOutP shift_right(WDataOutP to, WDataInP from, IData by) {
    constexpr int kWords = VL_WORDS_I(kBits);
    if constexpr (kWords <= 4) {
        return store<kWords>(to, by >= kBits ? 0 : load<kWords>(from) >> by);
    } else {
        const int words = by >= kBits ? kWords : by / 32;
        shift_right<kWords>(to, from, words, by % 32, std::make_index_sequence<kWords>());
        return to;
    }
}

template <size_t... kIndex>
VL_ATTR_ALWINLINE void copy(WDataOutP to, WDataInP from, std::index_sequence<kIndex...>) {
    ((to[kIndex] = from[kIndex]), ...);
}

template <size_t... kIndex>
VL_ATTR_ALWINLINE void fill(WDataOutP to, EData value, std::index_sequence<kIndex...>) {
    ((to[kIndex] = value), ...);
}

template <int kTo, int kFrom>
VL_ATTR_ALWINLINE WDataOutP extend_signed(WDataOutP to, WDataInP from) {
    constexpr int kLast = VL_WORDS_I(kFrom) - 1, kUnused = 31 - (kFrom - 1) % 32;
    copy(to, from, std::make_index_sequence<kLast>());
    const auto last = static_cast<int32_t>(from[kLast] << kUnused) >> kUnused;
    to[kLast] = static_cast<EData>(last);
    fill(to + kLast + 1, static_cast<EData>(last >> 31),
         std::make_index_sequence<VL_WORDS_I(kTo) - kLast - 1>());
    return to;
}

template <int kTo, int kFrom>
VL_ATTR_ALWINLINE WDataOutP extend_signed(WDataOutP to, IData from) {
    return extend_signed<kTo, kFrom>(to, static_cast<WDataInP>(&from));
}

}  // namespace wide

// Bits of the result and of the operands are literals wherever Verilator writes such a call.
#define VL_ADD_W(words, to, left, right) wide::add<words>(to, left, right)
#define VL_SHIFTL_WWI(bits, left, right, to, from, by) wide::shift_left<bits>(to, from, by)
#define VL_SHIFTR_WWI(bits, left, right, to, from, by) wide::shift_right<bits>(to, from, by)
#define VL_EXTENDS_WW(bits, old, to, from) wide::extend_signed<bits, old>(to, from)
#define VL_EXTENDS_WI(bits, old, to, from) wide::extend_signed<bits, old>(to, from)

#endif  // __SIZEOF_INT128__
#endif  // HEDDLE_WIDE_H_
