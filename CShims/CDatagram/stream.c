// Streams: TCP sockets that never block, for messages that wait for nothing.
#include "shared.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int set(int descriptor, int level, int option, int value) {
    return RETRIED(setsockopt(descriptor, level, option, &value, sizeof value));
}

static int open_stream(int family) {
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const int descriptor = RETRIED(socket(family == 4 ? AF_INET : AF_INET6, type, 0));
    if (descriptor >= 0 && family != 4) {
        const int result = set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        if (result < 0) {
            mirrorcast_close(descriptor);
            return result;
        }
    }
    return descriptor;
}

int mirrorcast_stream_listen(const mirrorcast_endpoint *endpoint, int backlog) {
    const int descriptor = open_stream(endpoint->family);
    if (descriptor < 0) {
        return descriptor;
    }
    int result = mirrorcast_bind(descriptor, endpoint, 1);
    if (result == 0) {
        result = RETRIED(listen(descriptor, backlog));
    }
    if (result < 0) {
        mirrorcast_close(descriptor);
        return result;
    }
    return descriptor;
}

int mirrorcast_stream_accept(int descriptor, mirrorcast_endpoint *peer) {
    union any_address address;
    for (;;) {
        socklen_t length = sizeof address;
        const int accepted = RETRIED(
            accept4(descriptor, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
        switch (accepted) {
        // accept(2): errors of the connection that would have come; the next one may be well.
        case -ECONNABORTED:
        case -ENETDOWN:
        case -EPROTO:
        case -ENOPROTOOPT:
        case -EHOSTDOWN:
        case -ENONET:
        case -EHOSTUNREACH:
        case -EOPNOTSUPP:
        case -ENETUNREACH:
            continue;
        }
        if (accepted >= 0) {
            mirrorcast_from_socket_address(&address, peer);
        }
        return accepted;
    }
}

int mirrorcast_stream_open(const mirrorcast_endpoint *local) {
    const int descriptor = open_stream(local->family);
    if (descriptor < 0) {
        return descriptor;
    }
    const int result = mirrorcast_bind(descriptor, local, 0);
    if (result < 0) {
        mirrorcast_close(descriptor);
        return result;
    }
    return descriptor;
}

int mirrorcast_stream_set_silence(int descriptor, int seconds) {
    const int idle = seconds / 3 > 0 ? seconds / 3 : 1;
    const int interval = seconds / 6 > 0 ? seconds / 6 : 1;
    const struct {
        int level, option, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000},
        {IPPROTO_TCP, TCP_KEEPIDLE, idle},
        {IPPROTO_TCP, TCP_KEEPINTVL, interval},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        const int result =
            set(descriptor, options[i].level, options[i].option, options[i].value);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

int mirrorcast_stream_connected(int descriptor) {
    struct pollfd polled = {.fd = descriptor, .events = POLLOUT};
    const int ready = RETRIED(poll(&polled, 1, 0));
    if (ready <= 0) {
        return ready;
    }
    int error = 0;
    socklen_t length = sizeof error;
    const int result = RETRIED(getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length));
    return result < 0 ? result : error ? -error : 1;
}

long mirrorcast_stream_send(int descriptor, const void *bytes, size_t count) {
    return RETRIED(send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL));
}

long mirrorcast_stream_receive(int descriptor, void *bytes, size_t count) {
    return RETRIED(recv(descriptor, bytes, count, MSG_DONTWAIT));
}
