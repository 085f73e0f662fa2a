// Sockets, their options and their groups.
#include "shared.h"

#include <linux/errqueue.h>
#include <linux/udp.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

static int set(int descriptor, int level, int option, int value) {
    return RETRIED(setsockopt(descriptor, level, option, &value, sizeof value));
}

int mirrorcast_close(int descriptor) {
    // Linux has closed the descriptor even when it says EINTR.
    return close(descriptor) == 0 || errno == EINTR ? 0 : -errno;
}

int mirrorcast_socket(int family) {
    const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const int descriptor = RETRIED(socket(family == 4 ? AF_INET : AF_INET6, type, 0));
    if (descriptor < 0) {
        return descriptor;
    }
    int result;
    if (family == 4) {
        result = set(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    } else {
        result = set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        if (result == 0) {
            result = set(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        }
        if (result == 0) {
            result = set(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
        }
    }
    if (result < 0) {
        mirrorcast_close(descriptor);
        return result;
    }
    return descriptor;
}

int mirrorcast_bind(int descriptor, const mirrorcast_endpoint *endpoint, int reuse_address) {
    union any_address address;
    const socklen_t length = mirrorcast_to_socket_address(endpoint, &address);
    if (reuse_address) {
        const int result = set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
        if (result < 0) {
            return result;
        }
    }
    return RETRIED(bind(descriptor, &address.any, length));
}

int mirrorcast_connect(int descriptor, const mirrorcast_endpoint *endpoint) {
    union any_address address;
    const socklen_t length = mirrorcast_to_socket_address(endpoint, &address);
    return RETRIED(connect(descriptor, &address.any, length));
}

int mirrorcast_local_endpoint(int descriptor, mirrorcast_endpoint *endpoint) {
    union any_address address;
    socklen_t length = sizeof address;
    const int result = RETRIED(getsockname(descriptor, &address.any, &length));
    if (result == 0) {
        mirrorcast_from_socket_address(&address, endpoint);
    }
    return result;
}

static int change_membership(
    int descriptor, int interface, const mirrorcast_endpoint *group,
    const mirrorcast_endpoint *source, int any_source_option, int source_option) {
    const int level = group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    union any_address address;
    const socklen_t length = mirrorcast_to_socket_address(group, &address);
    if (source->family == 0) {
        struct group_req request;
        memset(&request, 0, sizeof request);
        request.gr_interface = (uint32_t)interface;
        memcpy(&request.gr_group, &address, length);
        return RETRIED(setsockopt(descriptor, level, any_source_option, &request, sizeof request));
    }
    struct group_source_req request;
    memset(&request, 0, sizeof request);
    request.gsr_interface = (uint32_t)interface;
    memcpy(&request.gsr_group, &address, length);
    const socklen_t source_length = mirrorcast_to_socket_address(source, &address);
    memcpy(&request.gsr_source, &address, source_length);
    return RETRIED(setsockopt(descriptor, level, source_option, &request, sizeof request));
}

int mirrorcast_join(
    int descriptor, int interface, const mirrorcast_endpoint *group,
    const mirrorcast_endpoint *source) {
    return change_membership(
        descriptor, interface, group, source, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP);
}

int mirrorcast_leave(
    int descriptor, int interface, const mirrorcast_endpoint *group,
    const mirrorcast_endpoint *source) {
    return change_membership(
        descriptor, interface, group, source, MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP);
}

int mirrorcast_set_multicast_all(int descriptor, int family, int on) {
    return family == 4 ? set(descriptor, IPPROTO_IP, IP_MULTICAST_ALL, on)
                       : set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_ALL, on);
}

int mirrorcast_set_hops(int descriptor, int family, int hops) {
    return family == 4 ? set(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, hops)
                       : set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
}

int mirrorcast_set_loop(int descriptor, int family, int on) {
    return family == 4 ? set(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, on)
                       : set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on);
}

int mirrorcast_set_multicast_interface(int descriptor, int family, int interface) {
    if (family != 4) {
        return set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_IF, interface);
    }
    struct ip_mreqn request;
    memset(&request, 0, sizeof request);
    request.imr_ifindex = interface;
    return RETRIED(
        setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request));
}

static int set_buffer(int descriptor, int forced, int plain, int bytes) {
    // Forcing needs CAP_NET_ADMIN; without it the system's limit cuts the size silently.
    int result = set(descriptor, SOL_SOCKET, forced, bytes);
    if (result < 0) {
        result = set(descriptor, SOL_SOCKET, plain, bytes);
    }
    if (result < 0) {
        return result;
    }
    int granted = 0;
    socklen_t length = sizeof granted;
    result = RETRIED(getsockopt(descriptor, SOL_SOCKET, plain, &granted, &length));
    return result < 0 ? result : granted;
}

int mirrorcast_set_receive_buffer(int descriptor, int bytes) {
    return set_buffer(descriptor, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
}

int mirrorcast_set_send_buffer(int descriptor, int bytes) {
    return set_buffer(descriptor, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
}

int mirrorcast_count_drops(int descriptor) {
    return set(descriptor, SOL_SOCKET, SO_RXQ_OVFL, 1);
}

int mirrorcast_can_segment(int descriptor) {
    int size = 0;
    socklen_t length = sizeof size;
    return RETRIED(getsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &size, &length));
}

int mirrorcast_coalesce(int descriptor) {
    return set(descriptor, SOL_UDP, UDP_GRO, 1);
}

int mirrorcast_report_errors(int descriptor, int family) {
    return family == 4 ? set(descriptor, IPPROTO_IP, IP_RECVERR, 1)
                       : set(descriptor, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

static int is_from_network(struct msghdr *message) {
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    for (; control; control = CMSG_NXTHDR(message, control)) {
        if ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR)
            || (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err error;
            memcpy(&error, CMSG_DATA(control), sizeof error);
            return error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
        }
    }
    return 0;
}

int mirrorcast_drain_errors(int descriptor) {
    int found = 0;
    // The queue is as long as the receive buffer allows; new ones may come meanwhile.
    for (int i = 0; i < 4096; i++) {
        union {
            char bytes[256];
            struct cmsghdr aligned;
        } control;
        struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof control};
        const int result = RETRIED(recvmsg(descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT));
        if (result < 0) {
            return result == -EAGAIN ? found : result;
        }
        found += is_from_network(&message);
    }
    return found;
}
