// Events, waiting, time and threads.
#include "shared.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int mirrorcast_event_open(void) {
    return RETRIED(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

int mirrorcast_event_signal(int descriptor) {
    const uint64_t one = 1;
    const int result = RETRIED(write(descriptor, &one, sizeof one));
    // A full counter is a signal already.
    return result < 0 && result != -EAGAIN ? result : 0;
}

int mirrorcast_event_drain(int descriptor) {
    uint64_t count;
    const int result = RETRIED(read(descriptor, &count, sizeof count));
    if (result < 0) {
        return result == -EAGAIN ? 0 : result;
    }
    return 1;
}

int mirrorcast_wait(mirrorcast_waited *waited, unsigned count, int64_t timeout_nanoseconds) {
    struct pollfd polled[mirrorcast_waited_max];
    if (count > mirrorcast_waited_max) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        polled[i] = (struct pollfd){
            .fd = waited[i].descriptor,
            .events = waited[i].wants_write ? POLLIN | POLLOUT : POLLIN,
        };
        waited[i].ready = 0;
    }
    const struct timespec timeout = {
        .tv_sec = timeout_nanoseconds / 1000000000,
        .tv_nsec = timeout_nanoseconds % 1000000000,
    };
    // An interrupted wait isn't made again: the caller's deadline may have passed.
    const int result = ppoll(polled, count, timeout_nanoseconds < 0 ? NULL : &timeout, NULL);
    if (result < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    for (unsigned i = 0; i < count; i++) {
        const short events = polled[i].revents;
        waited[i].ready = (uint8_t)(
            (events & POLLIN ? 1 : 0) | (events & POLLOUT ? 2 : 0)
            | (events & (POLLERR | POLLHUP | POLLNVAL) ? 4 : 0));
    }
    return result;
}

uint64_t mirrorcast_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int mirrorcast_pin_to_cores(const uint64_t *mask, unsigned words) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned core = 0; core < words * 64 && core < CPU_SETSIZE; core++) {
        if (mask[core / 64] >> core % 64 & 1) {
            CPU_SET(core, &set);
        }
    }
    return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int mirrorcast_pin_to_core(int core) {
    uint64_t mask[CPU_SETSIZE / 64] = {0};
    if (core < 0 || core >= CPU_SETSIZE) {
        return -EINVAL;
    }
    mask[core / 64] = (uint64_t)1 << core % 64;
    return mirrorcast_pin_to_cores(mask, CPU_SETSIZE / 64);
}

int mirrorcast_current_cores(uint64_t *mask, unsigned words) {
    cpu_set_t set;
    const int result = pthread_getaffinity_np(pthread_self(), sizeof set, &set);
    if (result != 0) {
        return -result;
    }
    memset(mask, 0, words * sizeof *mask);
    for (unsigned core = 0; core < words * 64 && core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &set)) {
            mask[core / 64] |= (uint64_t)1 << core % 64;
        }
    }
    return CPU_COUNT(&set);
}

void mirrorcast_yield(void) {
    sched_yield();
}

int mirrorcast_name_thread(const char *name) {
    char cut[16];
    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = 0;
    return -pthread_setname_np(pthread_self(), cut);
}

int mirrorcast_start_thread(void *(*body)(void *), void *context, void **thread) {
    // Signals go to the host's own threads: a lane's sleep ends by its event only.
    sigset_t all, before;
    pthread_t started;
    sigfillset(&all);
    int result = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (result == 0) {
        result = pthread_create(&started, NULL, body, context);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (result == 0) {
        *thread = (void *)started;
    }
    return -result;
}

int mirrorcast_join_thread(void *thread) {
    return -pthread_join((pthread_t)thread, NULL);
}

void mirrorcast_error_text(int number, char *text, size_t capacity) {
    char room[128];
    const char *words = strerror_r(number, room, sizeof room);
    strncpy(text, words, capacity - 1);
    text[capacity - 1] = 0;
}
