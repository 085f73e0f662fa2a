// What the files of this shim share; not for Swift.
#ifndef MIRRORCAST_KINDS_H
#define MIRRORCAST_KINDS_H

#include "cdigest.h"

#include <string.h>

#if defined(__x86_64__) || (defined(__aarch64__) && defined(__linux__))

// Only where mirrorcast_has_instruction().
uint32_t mirrorcast_crc32c_by_instruction(uint32_t state, const uint8_t *next, size_t count);
int mirrorcast_has_instruction(void);

#endif

#if defined(__x86_64__)
#include <immintrin.h>

// Only where mirrorcast_has_folding().
uint32_t mirrorcast_crc32c_by_folding(uint32_t state, const uint8_t *next, size_t count);
uint32_t mirrorcast_crc32c_copy_by_folding(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count);
int mirrorcast_has_folding(void);

// The words of a short input, one after another: nothing is joined, so nothing is quicker.
__attribute__((target("sse4.2"))) static inline uint32_t mirrorcast_crc32c_by_chain(
    uint32_t state, const uint8_t *next, size_t count) {
    uint64_t wide = state;
    for (; count >= 8; next += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    state = (uint32_t)wide;
    if (count >= 4) {
        uint32_t word;
        memcpy(&word, next, sizeof word);
        state = _mm_crc32_u32(state, word);
        next += 4;
        count -= 4;
    }
    for (; count > 0; next++, count--) {
        state = _mm_crc32_u8(state, *next);
    }
    return state;
}

#endif
#endif
