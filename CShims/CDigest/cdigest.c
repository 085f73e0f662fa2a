// The table, the choice of an implementation, and what every other one falls back on.
//
// The choice is one pointer, set at the first call and only read afterwards. Two threads that come
// first together set it to the same value, and it points to constants: relaxed order is enough. An
// ifunc would save the read, but only glibc has ifuncs.
#include "kinds.h"
#include "table.h"

#include <stdatomic.h>
#include <string.h>

// Small enough that both copies of a piece stay in the first-level cache.
enum { copied_piece = 8640 };

typedef uint32_t digest(uint32_t state, const uint8_t *next, size_t count);
typedef uint32_t digest_copy(uint32_t state, uint8_t *to, const uint8_t *from, size_t count);

struct kind {
    const char *name;
    int (*is_here)(void);
    digest *digest;
    digest_copy *copy;
};

static uint32_t by_table(uint32_t state, const uint8_t *next, size_t count) {
    for (size_t i = 0; i < count; i++) {
        state = state >> 8 ^ remainders[(state ^ next[i]) & 0xff];
    }
    return state;
}

// A copy by pieces, each of which is read again while it is in the cache.
static inline uint32_t copied(
    digest *digest, uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    while (count > 0) {
        const size_t piece = count < copied_piece ? count : copied_piece;
        memcpy(to, from, piece);
        state = digest(state, to, piece);
        to += piece;
        from += piece;
        count -= piece;
    }
    return state;
}

static uint32_t copy_by_table(uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    return copied(by_table, state, to, from, count);
}

static int is_anywhere(void) {
    return 1;
}

#if defined(__x86_64__) || (defined(__aarch64__) && defined(__linux__))

static uint32_t copy_by_instruction(
    uint32_t state, uint8_t *to, const uint8_t *from, size_t count) {
    return copied(mirrorcast_crc32c_by_instruction, state, to, from, count);
}

#endif

static const struct kind kinds[mirrorcast_digest_kinds] = {
    [mirrorcast_digest_table] = {"table", is_anywhere, by_table, copy_by_table},
#if defined(__x86_64__)
    [mirrorcast_digest_instruction] = {
        "crc32 instruction, three streams", mirrorcast_has_instruction,
        mirrorcast_crc32c_by_instruction, copy_by_instruction},
    [mirrorcast_digest_folding] = {
        "AVX-512 carry-less multiplication", mirrorcast_has_folding,
        mirrorcast_crc32c_by_folding, mirrorcast_crc32c_copy_by_folding},
#elif defined(__aarch64__) && defined(__linux__)
    [mirrorcast_digest_instruction] = {
        "crc32 instruction", mirrorcast_has_instruction,
        mirrorcast_crc32c_by_instruction, copy_by_instruction},
#endif
};

// The kind itself, or the table where that is not to be had.
static const struct kind *usable(enum mirrorcast_digest_kind kind) {
    const size_t index = (size_t)kind;
    if (index < mirrorcast_digest_kinds && kinds[index].is_here != NULL
        && kinds[index].is_here()) {
        return &kinds[index];
    }
    return &kinds[mirrorcast_digest_table];
}

static _Atomic(const struct kind *) chosen;

__attribute__((noinline, cold)) static const struct kind *choose(void) {
    const struct kind *best = &kinds[mirrorcast_digest_table];
    for (size_t index = 0; index < mirrorcast_digest_kinds; index++) {
        if (mirrorcast_crc32c_has((enum mirrorcast_digest_kind)index)) {
            best = &kinds[index];
        }
    }
    atomic_store_explicit(&chosen, best, memory_order_relaxed);
    return best;
}

static inline const struct kind *best(void) {
    const struct kind *known = atomic_load_explicit(&chosen, memory_order_relaxed);
    return known != NULL ? known : choose();
}

uint32_t mirrorcast_crc32c(uint32_t state, const void *bytes, size_t count) {
    return best()->digest(state, bytes, count);
}

uint32_t mirrorcast_crc32c_copy(
    uint32_t state, void *destination, const void *source, size_t count) {
    return best()->copy(state, destination, source, count);
}

uint32_t mirrorcast_crc32c_copy_past_cache(
    uint32_t state, void *destination, const void *source, size_t count) {
#if defined(__x86_64__)
    if (best() == &kinds[mirrorcast_digest_folding] && (uintptr_t)destination % 64 == 0) {
        return mirrorcast_crc32c_copy_past_by_folding(state, destination, source, count);
    }
#endif
    mirrorcast_copy_past_cache(destination, source, count);
    return best()->digest(state, source, count);
}

uint32_t mirrorcast_crc32c_by_table(uint32_t state, const void *bytes, size_t count) {
    return by_table(state, bytes, count);
}

enum mirrorcast_digest_kind mirrorcast_crc32c_kind(void) {
    return (enum mirrorcast_digest_kind)(best() - kinds);
}

const char *mirrorcast_crc32c_kind_name(enum mirrorcast_digest_kind kind) {
    const size_t index = (size_t)kind;
    if (index < mirrorcast_digest_kinds && kinds[index].name != NULL) {
        return kinds[index].name;
    }
    return "not on this processor";
}

int mirrorcast_crc32c_has(enum mirrorcast_digest_kind kind) {
    return usable(kind) - kinds == (ptrdiff_t)kind;
}

uint32_t mirrorcast_crc32c_by(
    enum mirrorcast_digest_kind kind, uint32_t state, const void *bytes, size_t count) {
    return usable(kind)->digest(state, bytes, count);
}

uint32_t mirrorcast_crc32c_copy_by(
    enum mirrorcast_digest_kind kind, uint32_t state, void *destination, const void *source,
    size_t count) {
    return usable(kind)->copy(state, destination, source, count);
}
