// Pages, huge where they can be had, and the node that they lie on. The calls for nodes are the
// kernel's own: libnuma's stop the program, or say nothing, where the kernel refuses.
#include "shared.h"

#include <linux/mempolicy.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static void *map(size_t bytes, int flags) {
    flags |= MAP_PRIVATE | MAP_ANONYMOUS;
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

// More than asked, of which the ends are given back, so that it starts where a huge page may.
static int map_transparent(size_t bytes, void **pages) {
    char *start = map(bytes + mirrorcast_huge_page, MAP_NORESERVE);
    if (!start) {
        return -errno;
    }
    const size_t before = -(uintptr_t)start % mirrorcast_huge_page;
    if (before) {
        munmap(start, before);
    }
    munmap(start + before + bytes, mirrorcast_huge_page - before);
    if (madvise(start + before, bytes, MADV_HUGEPAGE) < 0) {
        const int result = -errno;
        munmap(start + before, bytes);
        return result;
    }
    *pages = start + before;
    return 0;
}

int mirrorcast_map_pages(size_t bytes, mirrorcast_page_kind kind, void **pages) {
    if (kind == mirrorcast_pages_transparent) {
        return map_transparent(bytes, pages);
    }
    // Those of the pool are reserved, so that the kernel refuses now what it can't give later.
    const int pool = MAP_HUGETLB | MAP_HUGE_2MB;
    *pages = map(bytes, kind == mirrorcast_pages_hugetlb ? pool : MAP_NORESERVE);
    return *pages ? 0 : -errno;
}

int mirrorcast_unmap_pages(void *pages, size_t bytes) {
    return munmap(pages, bytes) < 0 ? -errno : 0;
}

int mirrorcast_prefer_node(void *pages, size_t bytes, int node) {
    unsigned long mask[16] = {0};
    const unsigned long width = 8 * sizeof mask[0];
    if (node < 0 || (unsigned long)node >= 16 * width) {
        return -EINVAL;
    }
    mask[node / width] = 1ul << node % width;
    return RETRIED(syscall(SYS_mbind, pages, bytes, MPOL_PREFERRED, mask, 16 * width, 0));
}

int mirrorcast_fill_pages(void *pages, size_t bytes) {
    return RETRIED(madvise(pages, bytes, MADV_POPULATE_WRITE));
}

int mirrorcast_node_of(const void *address) {
    const uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)address & ~(size - 1));
    int status = -ENOENT;
    const int result = RETRIED(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0));
    return result < 0 ? result : status;
}
