// CRC32C by carry-less multiplication, 64 bytes an instruction, and the copy fused with it.
//
// The intuition: bytes are the coefficients of a polynomial over GF(2), earlier bytes the higher
// powers, and only its remainder mod P is wanted. So 64 bytes may be taken away from the front when
// what they are worth is added to the 64 bytes that stand D bits further on: each half h of a
// 128-bit lane is multiplied by x^D (and x^64, if it is the earlier half), reduced mod P before.
// Four such accumulators hide the multiplier's latency; at the end they are folded into one, its
// four lanes into one, and the crc32 instruction takes the last 16 bytes to a remainder.
//
// The constants: CRC32C is reflected, the bit i of a register of n bits being the coefficient of
// x^(n-1-i). A constant of degree below 32 in the low half of 64 bits therefore counts for x^32
// times itself, and a product of two reflected words, of 127 bits, stands one bit low in its
// register of 128: it counts for x times itself. The two together are x^33. To move the earlier
// half over D bits takes x^(D+64-33) mod P, the later one x^(D-33) mod P, where
// P = x^32 + x^28 + … + 1 = 0x11edc6f41: begin with 1, shift left n times, subtract P whenever bit
// 32 appears, and reverse the 32 bits. The tests hold every length against the table.
//
// The copy is fused because the source mostly comes from memory: the multiplications then run while
// lines are under way, and both cost what the copy alone does. The copy first and a digest of what
// is then hot took a quarter (8896 bytes at a time) to four fifths (1408) longer, on Zen 4. Each
// byte is read once, so that the remainder is of what was written, whatever changes the source.
//
// Roads not taken: prefetching the source, 256 bytes to 8 KiB ahead, won nothing. Folding 128 bits
// at a time, for processors without VPCLMULQDQ, takes two multiplications for 16 bytes, which is no
// quicker than three streams of crc32 at 8 bytes a cycle.
#include "kinds.h"

#if defined(__x86_64__)

#define FOLDING                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,vpclmulqdq,pclmul,sse4.2")))
#define INLINE static inline __attribute__((always_inline)) FOLDING

enum { block = 64, four = 4 * block };

// Up to here the crc32 instruction is quicker: its chain is short, and nothing is to be joined.
enum { short_max = 64 };

// {of the earlier half, of the later half} of a lane that moves over so many bits.
#define OVER_128 0xf20c0dfe, 0x493c7d27
#define OVER_256 0x3da6d0cb, 0xba4fc28e
#define OVER_384 0x1c291d04, 0xddc0152b
#define OVER_512 0x740eef02, 0x9e4addf8
#define OVER_1024 0x6992cea2, 0x0d3b6092
#define OVER_1536 0xa87ab8a8, 0xab7aff2a
#define OVER_2048 0xdcb17aa4, 0xb9e02b86
#define FOUR_LANES(pair) pair, pair, pair, pair

static const long long over_512[8] = {FOUR_LANES(OVER_512)};
static const long long over_1024[8] = {FOUR_LANES(OVER_1024)};
static const long long over_1536[8] = {FOUR_LANES(OVER_1536)};
static const long long over_2048[8] = {FOUR_LANES(OVER_2048)};
static const long long to_last_lane[8] = {OVER_384, OVER_256, OVER_128, 0, 0};

static const uint8_t places[block] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
    44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

// `value` moved by `power`, and what stands there.
INLINE __m512i folded(__m512i value, const long long *power, __m512i there) {
    const __m512i constants = _mm512_loadu_si512(power);
    return _mm512_ternarylogic_epi64(
        _mm512_clmulepi64_epi128(value, constants, 0x00),
        _mm512_clmulepi64_epi128(value, constants, 0x11), there, 0x96);
}

// What becomes of the bytes: nothing, a copy, or a copy past the cache to a whole line.
enum copying { none, cached, past };

// The 64 bytes at `from`.
INLINE __m512i taken(uint8_t *to, const uint8_t *from, size_t at, enum copying copying) {
    const __m512i bytes = _mm512_loadu_si512(from + at);
    if (copying == cached) {
        _mm512_storeu_si512(to + at, bytes);
    } else if (copying == past) {
        _mm512_stream_si512((__m512i *)(to + at), bytes);
    }
    return bytes;
}

// The remainder of 64 bytes.
INLINE uint32_t reduced(__m512i value) {
    const __m512i lanes = folded(value, to_last_lane, _mm512_maskz_mov_epi64(0xc0, value));
    const __m256i two = _mm256_xor_si256(
        _mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    const __m128i one = _mm_xor_si128(
        _mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
    const uint64_t early = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(one));
    return (uint32_t)_mm_crc32_u64(early, (uint64_t)_mm_extract_epi64(one, 1));
}

// Moves on by the 1 to 63 bytes from `at` on: what leaves `value` at the front is folded, what
// stays moves up, and the new bytes fill the room.
INLINE __m512i with_rest(
    __m512i value, uint8_t *to, const uint8_t *from, size_t at, size_t count,
    enum copying copying) {
    const size_t rest = count - at;
    const __mmask64 fresh = ~0ULL << (block - rest);
    const __m512i last = _mm512_maskz_loadu_epi8(fresh, from + count - block);
    if (copying != none) {
        _mm512_mask_storeu_epi8(to + count - block, fresh, last);
    }
    const __m512i turned = _mm512_permutexvar_epi8(
        _mm512_add_epi8(_mm512_loadu_si512(places), _mm512_set1_epi8((char)rest)), value);
    return folded(
        _mm512_maskz_mov_epi8(fresh, turned), over_512,
        _mm512_mask_blend_epi8(fresh, turned, last));
}

// The remainder of more than 64 bytes.
INLINE uint32_t by_folding(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count, enum copying copying) {
    __m512i value = _mm512_xor_si512(
        taken(to, from, 0, copying), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    size_t at = block;
    if (count >= four) {
        __m512i second = taken(to, from, block, copying);
        __m512i third = taken(to, from, 2 * block, copying);
        __m512i fourth = taken(to, from, 3 * block, copying);
        for (at = four; count - at >= four; at += four) {
            value = folded(value, over_2048, taken(to, from, at, copying));
            second = folded(second, over_2048, taken(to, from, at + block, copying));
            third = folded(third, over_2048, taken(to, from, at + 2 * block, copying));
            fourth = folded(fourth, over_2048, taken(to, from, at + 3 * block, copying));
        }
        second = folded(second, over_1024, folded(third, over_512, fourth));
        value = folded(value, over_1536, second);
    }
    for (; count - at >= block; at += block) {
        value = folded(value, over_512, taken(to, from, at, copying));
    }
    if (count > at) {
        value = with_rest(value, to, from, at, count, copying);
    }
    return reduced(value);
}

FOLDING uint32_t mirrorcast_crc32c_by_folding(
    uint32_t state, const uint8_t *next, size_t count) {
    return count > short_max ? by_folding(state, NULL, next, count, none)
                             : mirrorcast_crc32c_by_chain(state, NULL, next, count);
}

FOLDING uint32_t mirrorcast_crc32c_copy_by_folding(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    return count > short_max ? by_folding(state, to, from, count, cached)
                             : mirrorcast_crc32c_by_chain(state, to, from, count);
}

FOLDING uint32_t mirrorcast_crc32c_copy_past_by_folding(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    return count > short_max ? by_folding(state, to, from, count, past)
                             : mirrorcast_crc32c_by_chain(state, to, from, count);
}

int mirrorcast_has_folding(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi")
        && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul")
        && __builtin_cpu_supports("sse4.2");
}

#endif
