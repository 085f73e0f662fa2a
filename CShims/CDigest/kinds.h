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
// The same past the cache; `to` is a multiple of 64.
uint32_t mirrorcast_crc32c_copy_past_by_folding(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count);
int mirrorcast_has_folding(void);

// The words of a short input, one after another: nothing is joined, so nothing is quicker. They are
// also copied to `to` unless that is NULL.
__attribute__((target("sse4.2"), always_inline)) static inline uint32_t mirrorcast_crc32c_by_chain(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    uint64_t wide = state, word;
    size_t at = 0;
    for (; count - at >= sizeof word; at += sizeof word) {
        memcpy(&word, from + at, sizeof word);
        if (to != NULL) {
            memcpy(to + at, &word, sizeof word);
        }
        wide = _mm_crc32_u64(wide, word);
    }
    state = (uint32_t)wide;
    uint32_t half;
    if (count - at >= sizeof half) {
        memcpy(&half, from + at, sizeof half);
        if (to != NULL) {
            memcpy(to + at, &half, sizeof half);
        }
        state = _mm_crc32_u32(state, half);
        at += sizeof half;
    }
    for (; count > at; at++) {
        const uint8_t byte = from[at];
        if (to != NULL) {
            to[at] = byte;
        }
        state = _mm_crc32_u8(state, byte);
    }
    return state;
}

#endif
#endif
