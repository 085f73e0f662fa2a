// CRC32C (the polynomial of RFC 3720 §12.1), by the processor's instruction where there is one.
//
// The state is the raw running remainder: begin with 0xffffffff, feed bytes in any pieces, and
// invert the last state (~state) to get the checksum that goes on the wire. All functions are pure
// and thread-safe, take bytes at any alignment, and take NULL where `count` is 0.
#ifndef MIRRORCAST_CDIGEST_H
#define MIRRORCAST_CDIGEST_H

#include <stddef.h>
#include <stdint.h>

/// Advances `state` over `count` bytes and returns the new state.
uint32_t mirrorcast_crc32c(uint32_t state, const void *bytes, size_t count);

/// Copies `count` bytes from `source` to `destination` (which must not overlap) and advances
/// `state` over them while they are in the cache.
uint32_t mirrorcast_crc32c_copy(
    uint32_t state, void *destination, const void *source, size_t count);

/// The same as mirrorcast_crc32c, by table: the fallback, and what tests compare with.
uint32_t mirrorcast_crc32c_by_table(uint32_t state, const void *bytes, size_t count);

/// Whether this processor has the instruction (1) or the table is used (0).
int mirrorcast_crc32c_is_accelerated(void);

#endif
