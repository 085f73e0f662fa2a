#include "cstorage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/uio.h>

int64_t mirrorcast_read_at_hand(int descriptor, void *bytes, size_t count, int64_t offset) {
    struct iovec piece = {bytes, count};
    for (;;) {
        ssize_t done = preadv2(descriptor, &piece, 1, offset, RWF_NOWAIT);
        if (done >= 0) return done;
        if (errno != EINTR) return -errno;
    }
}

int mirrorcast_punch_hole(int descriptor, int64_t offset, int64_t length) {
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (fallocate(descriptor, mode, offset, length) != 0) {
        if (errno != EINTR) return -errno;
    }
    return 0;
}

uint64_t mirrorcast_thread_waits(void) {
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_nvcsw : 0;
}
