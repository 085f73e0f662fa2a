// Interfaces, by name and by address.
#include "shared.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int describe(const char *name, mirrorcast_interface *found) {
    struct ifreq request;
    memset(found, 0, sizeof *found);
    memset(&request, 0, sizeof request);
    if (strlen(name) >= sizeof found->name) {
        return -ENODEV;
    }
    strcpy(found->name, name);
    found->index = (int32_t)if_nametoindex(name);
    if (found->index == 0) {
        return -errno;
    }
    const int descriptor = RETRIED(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (descriptor < 0) {
        return descriptor;
    }
    strcpy(request.ifr_name, name);
    int result = RETRIED(ioctl(descriptor, SIOCGIFMTU, &request));
    if (result == 0) {
        found->mtu = request.ifr_mtu;
        result = RETRIED(ioctl(descriptor, SIOCGIFFLAGS, &request));
    }
    if (result == 0) {
        found->is_loopback = (request.ifr_flags & IFF_LOOPBACK) != 0;
        found->is_up = (request.ifr_flags & IFF_UP) != 0;
        found->can_multicast = (request.ifr_flags & IFF_MULTICAST) != 0;
    }
    close(descriptor);
    return result;
}

static int is_family(const struct ifaddrs *entry, int family) {
    return entry->ifa_addr && entry->ifa_addr->sa_family == (family == 4 ? AF_INET : AF_INET6);
}

static void read_address(const struct ifaddrs *entry, mirrorcast_endpoint *endpoint) {
    union any_address address;
    const size_t length = entry->ifa_addr->sa_family == AF_INET ? sizeof address.v4
                                                                : sizeof address.v6;
    memcpy(&address, entry->ifa_addr, length);
    mirrorcast_from_socket_address(&address, endpoint);
    endpoint->port = 0;
}

static int is_link_local(const mirrorcast_endpoint *endpoint) {
    return endpoint->family == 6 && endpoint->bytes[0] == 0xfe
        && (endpoint->bytes[1] & 0xc0) == 0x80;
}

int mirrorcast_interface_by_name(const char *name, int family, mirrorcast_interface *found) {
    struct ifaddrs *all;
    int result = describe(name, found);
    if (result < 0) {
        return result;
    }
    result = RETRIED(getifaddrs(&all));
    if (result < 0) {
        return result;
    }
    // A routable address goes before a link-local one.
    for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
        if (strcmp(entry->ifa_name, name) == 0 && is_family(entry, family)
            && (found->address.family == 0 || is_link_local(&found->address))) {
            read_address(entry, &found->address);
        }
    }
    freeifaddrs(all);
    return 0;
}

int mirrorcast_interface_by_address(
    const mirrorcast_endpoint *address, mirrorcast_interface *found) {
    struct ifaddrs *all;
    int result = RETRIED(getifaddrs(&all));
    if (result < 0) {
        return result;
    }
    result = -EADDRNOTAVAIL;
    const size_t length = address->family == 4 ? 4 : 16;
    for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
        mirrorcast_endpoint candidate;
        if (!is_family(entry, address->family)) {
            continue;
        }
        read_address(entry, &candidate);
        if (memcmp(candidate.bytes, address->bytes, length) == 0
            && (address->scope == 0 || candidate.scope == address->scope)) {
            result = describe(entry->ifa_name, found);
            found->address = candidate;
            break;
        }
    }
    freeifaddrs(all);
    return result;
}

int mirrorcast_read_small_file(const char *path, char *text, size_t capacity) {
    const int descriptor = RETRIED(open(path, O_RDONLY | O_CLOEXEC));
    if (descriptor < 0) {
        return descriptor;
    }
    const int count = RETRIED(read(descriptor, text, capacity - 1));
    close(descriptor);
    if (count >= 0) {
        text[count] = 0;
    }
    return count;
}
