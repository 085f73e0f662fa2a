// Copies that do not pull the destination into the cache.
//
// An ordinary store first reads the line it changes, and later writes it back: two trips for one.
// A line written whole by non-temporal stores makes one trip, and leaves the cache to others. As
// measured (Zen 4, one core, the source in the second-level cache, pieces of 1408 bytes):
//
//     destination      memcpy    past the cache    fence after every piece
//     up to 8 MiB      35–45     22–27             9 GB/s
//     16 MiB and more  11–16     22–26             9 GB/s
//
// So it is for what is larger than a core's share of the last cache, and the fence is the caller's.
// Stores of 64 bytes were no quicker than four of 16, which every x86-64 has; `rep movsb` is like
// memcpy. Elsewhere than on x86-64 this is memcpy, and the fence is an ordinary one.
#include "cdigest.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>

enum { line = 64, short_max = 255 };

void mirrorcast_copy_past_cache(void *destination, const void *source, size_t count) {
    uint8_t *to = destination;
    const uint8_t *from = source;
    if (count <= short_max) {
        if (count > 0) {
            memcpy(to, from, count);
        }
        return;
    }
    const size_t ahead = -(uintptr_t)to % line;
    memcpy(to, from, ahead);
    size_t at = ahead;
    for (; count - at >= line; at += line) {
        const __m128i *four = (const __m128i *)(from + at);
        const __m128i first = _mm_loadu_si128(four);
        const __m128i second = _mm_loadu_si128(four + 1);
        const __m128i third = _mm_loadu_si128(four + 2);
        const __m128i fourth = _mm_loadu_si128(four + 3);
        __m128i *whole = (__m128i *)(to + at);
        _mm_stream_si128(whole, first);
        _mm_stream_si128(whole + 1, second);
        _mm_stream_si128(whole + 2, third);
        _mm_stream_si128(whole + 3, fourth);
    }
    memcpy(to + at, from + at, count - at);
}

void mirrorcast_copy_fence(void) {
    _mm_sfence();
}

#else

void mirrorcast_copy_past_cache(void *destination, const void *source, size_t count) {
    if (count > 0) {
        memcpy(destination, source, count);
    }
}

void mirrorcast_copy_fence(void) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

#endif
