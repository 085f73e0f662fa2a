// CRC32C (the polynomial of RFC 3720 §12.1) at the speed of the memory, and copies that know where
// the cache is.
//
// The state is the raw running remainder: begin with 0xffffffff, feed bytes in any pieces, and
// invert the last state (~state) to get the checksum that goes on the wire. All functions are pure
// and thread-safe, take bytes at any alignment, and take NULL where `count` is 0. Which
// implementation serves is chosen at the first call, from what the processor has.
#ifndef MIRRORCAST_CDIGEST_H
#define MIRRORCAST_CDIGEST_H

#include <stddef.h>
#include <stdint.h>

/// The implementations, each quicker than the ones before it.
enum mirrorcast_digest_kind {
    /// By table, a byte at a time: runs anywhere, and is what tests compare with.
    mirrorcast_digest_table,
    /// By the processor's crc32 instruction.
    mirrorcast_digest_instruction,
    /// By carry-less multiplication of 64 bytes at a time (x86-64 with AVX-512 and VPCLMULQDQ).
    mirrorcast_digest_folding,
};

enum { mirrorcast_digest_kinds = 3 };

/// Advances `state` over `count` bytes and returns the new state.
uint32_t mirrorcast_crc32c(uint32_t state, const void *bytes, size_t count);

/// Copies `count` bytes from `source` to `destination` (which must not overlap) and advances
/// `state` over what it writes, even if `source` changes meanwhile. For a destination that is or
/// should be in the cache.
uint32_t mirrorcast_crc32c_copy(
    uint32_t state, void *destination, const void *source, size_t count);

/// The same as mirrorcast_crc32c, by table.
uint32_t mirrorcast_crc32c_by_table(uint32_t state, const void *bytes, size_t count);

/// The implementation that serves mirrorcast_crc32c and mirrorcast_crc32c_copy here.
enum mirrorcast_digest_kind mirrorcast_crc32c_kind(void);

/// What to call it in front of people: a literal, never NULL.
const char *mirrorcast_crc32c_kind_name(enum mirrorcast_digest_kind kind);

/// Whether this processor has what `kind` needs (1) or not (0).
int mirrorcast_crc32c_has(enum mirrorcast_digest_kind kind);

/// The same as the functions without `_by`, by the implementation named, or by table where this
/// processor does not have it: for tests and measurements.
uint32_t mirrorcast_crc32c_by(
    enum mirrorcast_digest_kind kind, uint32_t state, const void *bytes, size_t count);
uint32_t mirrorcast_crc32c_copy_by(
    enum mirrorcast_digest_kind kind, uint32_t state, void *destination, const void *source,
    size_t count);

/// Copies `count` bytes from `source` to `destination` (which must not overlap) past the cache:
/// quicker than memcpy where the destination is larger than this core's share of the last cache
/// and is not read again soon, slower where it would fit. Other threads and devices may see the
/// bytes late, in any order, until this thread has called mirrorcast_copy_fence().
void mirrorcast_copy_past_cache(void *destination, const void *source, size_t count);

/// The same, and advances `state` over the bytes, which must not change meanwhile.
uint32_t mirrorcast_crc32c_copy_past_cache(
    uint32_t state, void *destination, const void *source, size_t count);

/// Completes this thread's copies past the cache: once a batch, before anyone is told of them. It
/// waits for the memory, so once a copy would cost more than the copies win.
void mirrorcast_copy_fence(void);

#endif
