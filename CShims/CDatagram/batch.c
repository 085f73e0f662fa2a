// Batches: many datagrams by one system call. The message headers stand on the stack; would-block
// is a count of 0.
#include "shared.h"

#include <linux/udp.h>
#include <string.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif

union received_control {
    char bytes[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

union sent_control {
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr aligned;
};

static void read_control(struct msghdr *message, mirrorcast_arrival *arrival) {
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    for (; control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&arrival->dropped, CMSG_DATA(control), sizeof arrival->dropped);
            arrival->has_dropped = 1;
        } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            arrival->segment_size = (uint16_t)size;
        }
    }
}

int mirrorcast_receive(int descriptor, mirrorcast_arrival *arrivals, unsigned count) {
    struct mmsghdr messages[mirrorcast_batch_max];
    struct iovec vectors[mirrorcast_batch_max];
    union received_control controls[mirrorcast_batch_max];
    struct sockaddr_in6 sources[mirrorcast_batch_max];
    if (count > mirrorcast_batch_max) {
        count = mirrorcast_batch_max;
    }
    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (struct iovec){arrivals[i].bytes, arrivals[i].capacity};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &sources[i],
            .msg_namelen = sizeof sources[i],
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = &controls[i],
            .msg_controllen = sizeof controls[i],
        };
    }
    const int received = RETRIED(recvmmsg(descriptor, messages, count, MSG_DONTWAIT, NULL));
    if (received == -EAGAIN) {
        return 0;
    }
    for (int i = 0; i < received; i++) {
        mirrorcast_arrival *arrival = &arrivals[i];
        union any_address source;
        memcpy(&source.v6, &sources[i], sizeof sources[i]);
        mirrorcast_from_socket_address(&source, &arrival->source);
        arrival->length = messages[i].msg_len;
        arrival->is_truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        arrival->has_dropped = 0;
        arrival->segment_size = 0;
        read_control(&messages[i].msg_hdr, arrival);
    }
    return received;
}

int mirrorcast_send(int descriptor, const mirrorcast_departure *departures, unsigned count) {
    struct mmsghdr messages[mirrorcast_batch_max];
    struct iovec vectors[mirrorcast_batch_max];
    union sent_control controls[mirrorcast_batch_max];
    union any_address destinations[mirrorcast_batch_max];
    if (count > mirrorcast_batch_max) {
        count = mirrorcast_batch_max;
    }
    for (unsigned i = 0; i < count; i++) {
        const mirrorcast_departure *departure = &departures[i];
        vectors[i] = (struct iovec){(void *)departure->bytes, departure->length};
        struct msghdr *message = &messages[i].msg_hdr;
        *message = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
        message->msg_namelen =
            mirrorcast_to_socket_address(&departure->destination, &destinations[i]);
        message->msg_name = message->msg_namelen ? &destinations[i] : NULL;
        if (departure->segment_size) {
            memset(&controls[i], 0, sizeof controls[i]);
            message->msg_control = &controls[i];
            message->msg_controllen = sizeof controls[i];
            struct cmsghdr *control = CMSG_FIRSTHDR(message);
            control->cmsg_level = SOL_UDP;
            control->cmsg_type = UDP_SEGMENT;
            control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
            memcpy(CMSG_DATA(control), &departure->segment_size, sizeof(uint16_t));
        }
    }
    const int sent = RETRIED(sendmmsg(descriptor, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL));
    return sent == -EAGAIN ? 0 : sent;
}
