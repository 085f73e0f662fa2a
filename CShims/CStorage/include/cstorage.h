// What Swift can't see of Linux's files.
//
// Thin wrappers that decide nothing; every failure comes back as a negative errno.
#ifndef MIRRORCAST_CSTORAGE_H
#define MIRRORCAST_CSTORAGE_H

#include <stddef.h>
#include <stdint.h>

/// Reads what the page cache has, and never waits for a device. Returns how many bytes were read,
/// which may be fewer than wanted, or -EAGAIN where it would have to wait, -EOPNOTSUPP where the
/// file can't tell.
int64_t mirrorcast_read_at_hand(int descriptor, void *bytes, size_t count, int64_t offset);

/// Makes a range read as zeros by giving its space back, in a file or on a block device. Returns 0,
/// or a negative errno where either can't be had.
int mirrorcast_punch_hole(int descriptor, int64_t offset, int64_t length);

/// How often this thread has slept so far because it had to wait for something, or 0 where that
/// can't be told.
uint64_t mirrorcast_thread_waits(void);

#endif
