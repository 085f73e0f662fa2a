// What the files of this shim share; not for Swift.
#ifndef MIRRORCAST_SHARED_H
#define MIRRORCAST_SHARED_H

#include "cdatagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif

// Makes a call again as long as it is interrupted; its result, or a negative errno.
#define RETRIED(call)                                  \
    ({                                                 \
        long result_;                                  \
        do {                                           \
            result_ = (long)(call);                    \
        } while (result_ < 0 && errno == EINTR);       \
        (int)(result_ < 0 ? -errno : result_);         \
    })

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

// The socket address of an endpoint; its length, 0 when the family is none.
socklen_t mirrorcast_to_socket_address(
    const mirrorcast_endpoint *endpoint, union any_address *address);
void mirrorcast_from_socket_address(
    const union any_address *address, mirrorcast_endpoint *endpoint);

#endif
