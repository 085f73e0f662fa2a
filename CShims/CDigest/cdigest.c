// The crc32 instruction has a latency of three cycles and a throughput of one, so long inputs are
// read as three streams at once. Their remainders are joined by one carry-less multiplication each:
// moving a remainder over n zero bytes is multiplying it by x^(8n), and the constants below are
// x^(8n - 33) mod P, the 33 being made up by the reflected product and the crc32 that reduces it.
#include "cdigest.h"
#include "table.h"

#include <string.h>

// Small enough that both copies of a piece stay in the first-level cache.
enum { copied_piece = 8640 };

uint32_t mirrorcast_crc32c_by_table(uint32_t state, const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    for (size_t i = 0; i < count; i++) {
        state = state >> 8 ^ remainders[(state ^ next[i]) & 0xff];
    }
    return state;
}

#if defined(__x86_64__)
#include <immintrin.h>

static uint64_t word_at(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

// A length that is read as three streams, with the constants that join them.
struct stride {
    size_t stream;
    uint32_t over_one;
    uint32_t over_two;
};

// A jumbo datagram, a datagram at MTU 1500, and what is left of one.
static const struct stride strides[] = {
    {2880, 0x465a4eee, 0x6bce9345},
    {480, 0xb3e32c28, 0x3771e98f},
    {64, 0x9e4addf8, 0x0d3b6092},
};

__attribute__((target("sse4.2,pclmul"))) static uint64_t shifted(uint64_t state, uint32_t power) {
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(
        _mm_cvtsi64_si128((long long)state), _mm_cvtsi64_si128((long long)power), 0));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t by_instruction(
    uint32_t state, const uint8_t *next, size_t count) {
    uint64_t first = state;
    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
        const size_t stream = strides[i].stream;
        for (; count >= 3 * stream; next += 3 * stream, count -= 3 * stream) {
            uint64_t second = 0, third = 0;
            for (size_t at = 0; at < stream; at += 8) {
                first = _mm_crc32_u64(first, word_at(next + at));
                second = _mm_crc32_u64(second, word_at(next + stream + at));
                third = _mm_crc32_u64(third, word_at(next + 2 * stream + at));
            }
            first = third ^ _mm_crc32_u64(
                0, shifted(first, strides[i].over_two) ^ shifted(second, strides[i].over_one));
        }
    }
    for (; count >= 8; next += 8, count -= 8) {
        first = _mm_crc32_u64(first, word_at(next));
    }
    uint32_t last = (uint32_t)first;
    for (; count > 0; next++, count--) {
        last = _mm_crc32_u8(last, *next);
    }
    return last;
}

int mirrorcast_crc32c_is_accelerated(void) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

__attribute__((target("crc"))) static uint32_t by_instruction(
    uint32_t state, const uint8_t *next, size_t count) {
    for (; count >= 8; next += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        state = __crc32cd(state, word);
    }
    for (; count > 0; next++, count--) {
        state = __crc32cb(state, *next);
    }
    return state;
}

int mirrorcast_crc32c_is_accelerated(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#else

static uint32_t by_instruction(uint32_t state, const uint8_t *next, size_t count) {
    return mirrorcast_crc32c_by_table(state, next, count);
}

int mirrorcast_crc32c_is_accelerated(void) {
    return 0;
}

#endif

uint32_t mirrorcast_crc32c(uint32_t state, const void *bytes, size_t count) {
    if (mirrorcast_crc32c_is_accelerated()) {
        return by_instruction(state, bytes, count);
    }
    return mirrorcast_crc32c_by_table(state, bytes, count);
}

uint32_t mirrorcast_crc32c_copy(
    uint32_t state, void *destination, const void *source, size_t count) {
    uint8_t *to = destination;
    const uint8_t *from = source;
    while (count > 0) {
        const size_t piece = count < copied_piece ? count : copied_piece;
        memcpy(to, from, piece);
        state = mirrorcast_crc32c(state, to, piece);
        to += piece;
        from += piece;
        count -= piece;
    }
    return state;
}
