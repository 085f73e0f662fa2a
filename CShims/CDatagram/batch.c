// Batches: many datagrams by one system call. The message headers stand on the stack; would-block
// is a count of 0.
#include "shared.h"

#include <linux/udp.h>
#include <string.h>

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
            memcpy(&arrival->segment_size, CMSG_DATA(control), sizeof arrival->segment_size);
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
    // MSG_TRUNC: the length is told as it was sent, so that what is cut off can be counted.
    const int flags = MSG_DONTWAIT | MSG_TRUNC;
    const int received = RETRIED(recvmmsg(descriptor, messages, count, flags, NULL));
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

static void name_destination(struct msghdr *message, const mirrorcast_destination *destination) {
    message->msg_namelen = destination->length;
    message->msg_name = destination->length ? (void *)destination->address : NULL;
}

static void cut(struct msghdr *message, union sent_control *room, uint32_t segment_size) {
    const uint16_t size = (uint16_t)segment_size;
    memset(room, 0, sizeof *room);
    message->msg_control = room;
    message->msg_controllen = sizeof *room;
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(control), &size, sizeof size);
}

static int send_all(int descriptor, struct mmsghdr *messages, unsigned count) {
    const int sent = RETRIED(sendmmsg(descriptor, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL));
    return sent == -EAGAIN ? 0 : sent;
}

int mirrorcast_send_trains(
    int descriptor, const mirrorcast_train *trains, unsigned count,
    const mirrorcast_destination *destinations) {
    struct mmsghdr messages[mirrorcast_batch_max];
    struct iovec vectors[mirrorcast_batch_max];
    union sent_control controls[mirrorcast_batch_max];
    if (count > mirrorcast_batch_max) {
        count = mirrorcast_batch_max;
    }
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        vectors[i] = (struct iovec){(void *)trains[i].bytes, trains[i].length};
        *message = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
        name_destination(message, &destinations[trains[i].destination]);
        if (trains[i].length > trains[i].segment_size) {
            cut(message, &controls[i], trains[i].segment_size);
        }
    }
    return send_all(descriptor, messages, count);
}

int mirrorcast_send_singly(
    int descriptor, const mirrorcast_train *trains, unsigned count,
    const mirrorcast_destination *destinations, unsigned datagrams_max) {
    struct mmsghdr messages[mirrorcast_batch_max];
    struct iovec vectors[mirrorcast_batch_max];
    unsigned used = 0;
    if (datagrams_max > mirrorcast_batch_max) {
        datagrams_max = mirrorcast_batch_max;
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t start = 0;
        // A train without bytes is one datagram without bytes.
        do {
            if (used == datagrams_max) {
                return send_all(descriptor, messages, used);
            }
            const uint32_t left = trains[i].length - start;
            const uint32_t size = left < trains[i].segment_size ? left : trains[i].segment_size;
            struct msghdr *message = &messages[used].msg_hdr;
            vectors[used] = (struct iovec){(char *)trains[i].bytes + start, size};
            *message = (struct msghdr){.msg_iov = &vectors[used], .msg_iovlen = 1};
            name_destination(message, &destinations[trains[i].destination]);
            used++;
            start += trains[i].segment_size;
        } while (start < trains[i].length);
    }
    return send_all(descriptor, messages, used);
}
