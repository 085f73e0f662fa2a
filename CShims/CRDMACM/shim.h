// librdmacm, with wrappers that wait for the one event that answers a call, and turn what it brings
// into plain numbers. They decide nothing. An errno comes back negative.
//
// The verbs' own types are CVerbs's here, too: a header that belongs to two modules is of neither.
#ifndef MIRRORCAST_CRDMACM_H
#define MIRRORCAST_CRDMACM_H

#include "../CVerbs/shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <stdint.h>
#include <string.h>

// An address of the Internet, its bytes in network order.
struct mirrorcast_cm_address {
  uint8_t bytes[16];
  uint32_t scope;
  uint8_t is_v6;
};

// An identifier at a local address, with a channel of its own.
struct mirrorcast_cm {
  struct rdma_event_channel *channel;
  struct rdma_cm_id *id;
};

// Which device, port and GID an identifier was bound to.
struct mirrorcast_cm_place {
  char device[64];
  uint8_t gid[16];
  uint32_t port;
};

// The way to a group or a peer, as the fabric's management tells it.
struct mirrorcast_cm_route {
  uint8_t gid[16];
  uint32_t gid_index;  // of our own; a path has none
  uint32_t flow_label;
  uint32_t key;  // a group's Q_Key
  uint16_t lid;
  uint8_t hops;
  uint8_t traffic_class;
  uint8_t service_level;
  uint8_t rate;
};

enum mirrorcast_cm_news {
  mirrorcast_cm_no_news,
  mirrorcast_cm_removed,
  mirrorcast_cm_group_lost,
};

static inline void mirrorcast_cm_socket_address(const struct mirrorcast_cm_address *from,
                                                struct sockaddr_storage *to) {
  memset(to, 0, sizeof *to);
  if (from->is_v6) {
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    memcpy(&v6->sin6_addr, from->bytes, 16);
    v6->sin6_scope_id = from->scope;
  } else {
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    v4->sin_family = AF_INET;
    memcpy(&v4->sin_addr, from->bytes, 4);
  }
}

static inline void mirrorcast_cm_close(struct mirrorcast_cm *cm) {
  if (cm->id) rdma_destroy_id(cm->id);
  if (cm->channel) rdma_destroy_event_channel(cm->channel);
  memset(cm, 0, sizeof *cm);
}

// An identifier bound to a local address; -ENODEV where that is no RDMA device's, -ENOSYS where the
// kernel has no such identifiers.
static inline int mirrorcast_cm_open(const struct mirrorcast_cm_address *local,
                                     struct mirrorcast_cm *cm) {
  struct sockaddr_storage address;
  memset(cm, 0, sizeof *cm);
  mirrorcast_cm_socket_address(local, &address);
  cm->channel = rdma_create_event_channel();
  int result = cm->channel ? 0 : -ENOSYS;
  if (!result) {
    int flags = fcntl(cm->channel->fd, F_GETFL);
    if (flags < 0 || fcntl(cm->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0) result = -errno;
  }
  if (!result && rdma_create_id(cm->channel, &cm->id, NULL, RDMA_PS_UDP)) result = -errno;
  if (!result && rdma_bind_addr(cm->id, (struct sockaddr *)&address)) result = -errno;
  if (!result && !cm->id->verbs) result = -ENODEV;
  if (result) mirrorcast_cm_close(cm);
  return result;
}

static inline void mirrorcast_cm_where(const struct mirrorcast_cm *cm,
                                       struct mirrorcast_cm_place *place) {
  memset(place, 0, sizeof *place);
  strncpy(place->device, cm->id->verbs->device->name, sizeof place->device - 1);
  memcpy(place->gid, cm->id->route.addr.addr.ibaddr.sgid.raw, sizeof place->gid);
  place->port = cm->id->port_num;
}

// Waits for an event, and fills the route where the event is a group's; 0, or what went wrong.
static inline int mirrorcast_cm_await(struct mirrorcast_cm *cm, enum rdma_cm_event_type wanted,
                                      int milliseconds, struct mirrorcast_cm_route *route) {
  struct pollfd waited = {.fd = cm->channel->fd, .events = POLLIN};
  struct rdma_cm_event *event;
  while (rdma_get_cm_event(cm->channel, &event)) {
    if (errno != EAGAIN && errno != EINTR) return -errno;
    int count = poll(&waited, 1, milliseconds);
    if (count == 0) return -ETIMEDOUT;
    if (count < 0 && errno != EINTR) return -errno;
  }
  int result = 0;
  if (event->event != wanted) {
    result = event->status < 0 ? event->status : -EHOSTUNREACH;
  } else if (wanted == RDMA_CM_EVENT_MULTICAST_JOIN) {
    const struct ibv_ah_attr *to = &event->param.ud.ah_attr;
    memset(route, 0, sizeof *route);
    memcpy(route->gid, to->grh.dgid.raw, sizeof route->gid);
    route->gid_index = to->grh.sgid_index;
    route->flow_label = to->grh.flow_label;
    route->key = event->param.ud.qkey;
    route->lid = to->dlid;
    route->hops = to->grh.hop_limit;
    route->traffic_class = to->grh.traffic_class;
    route->service_level = to->sl;
    route->rate = to->static_rate;
  }
  rdma_ack_cm_event(event);
  return result;
}

// Joins a group; it is left by `leave` or at the end.
static inline int mirrorcast_cm_join(struct mirrorcast_cm *cm,
                                     const struct mirrorcast_cm_address *group, int milliseconds,
                                     struct mirrorcast_cm_route *route) {
  struct sockaddr_storage address;
  mirrorcast_cm_socket_address(group, &address);
  if (rdma_join_multicast(cm->id, (struct sockaddr *)&address, NULL)) return -errno;
  return mirrorcast_cm_await(cm, RDMA_CM_EVENT_MULTICAST_JOIN, milliseconds, route);
}

static inline void mirrorcast_cm_leave(struct mirrorcast_cm *cm,
                                       const struct mirrorcast_cm_address *group) {
  struct sockaddr_storage address;
  mirrorcast_cm_socket_address(group, &address);
  (void)rdma_leave_multicast(cm->id, (struct sockaddr *)&address);
}

// Finds the way to a peer.
static inline int mirrorcast_cm_resolve(struct mirrorcast_cm *cm,
                                        const struct mirrorcast_cm_address *peer, int milliseconds,
                                        struct mirrorcast_cm_route *route) {
  struct sockaddr_storage address;
  mirrorcast_cm_socket_address(peer, &address);
  if (rdma_resolve_addr(cm->id, NULL, (struct sockaddr *)&address, milliseconds)) return -errno;
  int result = mirrorcast_cm_await(cm, RDMA_CM_EVENT_ADDR_RESOLVED, milliseconds + 1000, route);
  if (result) return result;
  if (rdma_resolve_route(cm->id, milliseconds)) return -errno;
  result = mirrorcast_cm_await(cm, RDMA_CM_EVENT_ROUTE_RESOLVED, milliseconds + 1000, route);
  if (result) return result;
  if (cm->id->route.num_paths < 1) return -EHOSTUNREACH;
  const struct ibv_sa_path_rec *path = &cm->id->route.path_rec[0];
  memset(route, 0, sizeof *route);
  memcpy(route->gid, path->dgid.raw, sizeof route->gid);
  route->flow_label = ntohl(path->flow_label);
  route->lid = ntohs(path->dlid);
  route->hops = path->hop_limit;
  route->traffic_class = path->traffic_class;
  route->service_level = path->sl;
  route->rate = path->rate;
  return 0;
}

// The next of what a member of a group wants to know; what else comes is passed over.
static inline enum mirrorcast_cm_news mirrorcast_cm_take_news(struct mirrorcast_cm *cm) {
  struct rdma_cm_event *event;
  while (!rdma_get_cm_event(cm->channel, &event)) {
    enum rdma_cm_event_type kind = event->event;
    rdma_ack_cm_event(event);
    if (kind == RDMA_CM_EVENT_DEVICE_REMOVAL) return mirrorcast_cm_removed;
    if (kind == RDMA_CM_EVENT_MULTICAST_ERROR) return mirrorcast_cm_group_lost;
  }
  return mirrorcast_cm_no_news;
}

#endif
