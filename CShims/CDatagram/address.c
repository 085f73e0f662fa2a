// Numeric addresses, and their way into and out of the kernel's form.
#include "shared.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

socklen_t mirrorcast_to_socket_address(
    const mirrorcast_endpoint *endpoint, union any_address *address) {
    if (endpoint->family == 4) {
        memset(&address->v4, 0, sizeof address->v4);
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(endpoint->port);
        memcpy(&address->v4.sin_addr, endpoint->bytes, 4);
        return sizeof address->v4;
    }
    if (endpoint->family == 6) {
        memset(&address->v6, 0, sizeof address->v6);
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(endpoint->port);
        address->v6.sin6_scope_id = endpoint->scope;
        memcpy(&address->v6.sin6_addr, endpoint->bytes, 16);
        return sizeof address->v6;
    }
    return 0;
}

void mirrorcast_prepare_destination(
    const mirrorcast_endpoint *endpoint, mirrorcast_destination *destination) {
    union any_address address;
    destination->length = mirrorcast_to_socket_address(endpoint, &address);
    memcpy(destination->address, &address, destination->length);
}

void mirrorcast_from_socket_address(
    const union any_address *address, mirrorcast_endpoint *endpoint) {
    memset(endpoint, 0, sizeof *endpoint);
    if (address->any.sa_family == AF_INET) {
        endpoint->family = 4;
        endpoint->port = ntohs(address->v4.sin_port);
        memcpy(endpoint->bytes, &address->v4.sin_addr, 4);
    } else if (address->any.sa_family == AF_INET6) {
        endpoint->family = 6;
        endpoint->port = ntohs(address->v6.sin6_port);
        endpoint->scope = address->v6.sin6_scope_id;
        memcpy(endpoint->bytes, &address->v6.sin6_addr, 16);
    }
}

int mirrorcast_parse_address(const char *text, mirrorcast_endpoint *endpoint) {
    char address[64];
    memset(endpoint, 0, sizeof *endpoint);
    const char *zone = strchr(text, '%');
    const size_t length = zone ? (size_t)(zone - text) : strlen(text);
    if (length >= sizeof address) {
        return -EINVAL;
    }
    memcpy(address, text, length);
    address[length] = 0;
    if (!zone && inet_pton(AF_INET, address, endpoint->bytes) == 1) {
        endpoint->family = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, address, endpoint->bytes) != 1) {
        return -EINVAL;
    }
    endpoint->family = 6;
    if (zone) {
        char *end;
        endpoint->scope = if_nametoindex(zone + 1);
        if (endpoint->scope == 0) {
            endpoint->scope = (uint32_t)strtoul(zone + 1, &end, 10);
            if (endpoint->scope == 0 || *end != 0) {
                return -ENODEV;
            }
        }
    }
    return 0;
}

int mirrorcast_format_address(const mirrorcast_endpoint *endpoint, char *text, size_t capacity) {
    const int family = endpoint->family == 4 ? AF_INET : AF_INET6;
    return inet_ntop(family, endpoint->bytes, text, (socklen_t)capacity) ? 0 : -errno;
}
