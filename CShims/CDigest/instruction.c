// CRC32C by the processor's crc32 instruction: three interleaved streams on x86-64, one on AArch64.
//
// On x86-64 the instruction has a latency of three cycles and a throughput of one, so long inputs
// are read as three streams at once. Their remainders are joined by one carry-less multiplication
// each: moving a remainder over n zero bytes is multiplying it by x^(8n), and the constants below
// are x^(8n - 33) mod P, the 33 being made up by the reflected product and the crc32 that reduces
// it; folding.c says how to compute them.
#include "kinds.h"

#if defined(__x86_64__)

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

// A jumbo datagram, the payload of a datagram at MTU 1500 but for 64 bytes, and what is left.
static const struct stride strides[] = {
    {2880, 0x465a4eee, 0x6bce9345},
    {448, 0x1b03397f, 0x68bce87a},
    {64, 0x9e4addf8, 0x0d3b6092},
};

__attribute__((target("sse4.2,pclmul"))) static uint64_t shifted(uint64_t state, uint32_t power) {
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(
        _mm_cvtsi64_si128((long long)state), _mm_cvtsi64_si128((long long)power), 0));
}

__attribute__((target("sse4.2,pclmul"))) uint32_t mirrorcast_crc32c_by_instruction(
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
    return mirrorcast_crc32c_by_chain((uint32_t)first, NULL, next, count);
}

int mirrorcast_has_instruction(void) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

__attribute__((target("crc"))) uint32_t mirrorcast_crc32c_by_instruction(
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

int mirrorcast_has_instruction(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#endif
