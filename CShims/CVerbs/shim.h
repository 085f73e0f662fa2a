// libibverbs, with wrappers for what Swift can't import: calls that are macros or hidden behind a
// table, the unions of work requests, and chains of requests, which live on this side's stack. They
// decide nothing. An errno comes back negative; NULL leaves it in errno.
#ifndef MIRRORCAST_CVERBS_H
#define MIRRORCAST_CVERBS_H

#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

// Requests in one call of the device.
enum { mirrorcast_verbs_chain_max = 64 };

struct mirrorcast_verbs_gid {
  uint8_t bytes[16];
  uint32_t index;
  uint32_t port;
  uint32_t interface;  // its index; 0: none
  uint8_t is_roce_v2;
  uint8_t is_infiniband;
};

struct mirrorcast_verbs_port {
  uint32_t mtu;  // in bytes
  uint32_t gid_count;
  uint8_t state;  // 4: active
  uint8_t is_infiniband;
};

// Where a datagram goes: address handle, queue pair, key.
struct mirrorcast_verbs_destination {
  struct ibv_ah *handle;
  uint32_t queue_pair;
  uint32_t key;
};

// What has arrived, or was sent.
struct mirrorcast_verbs_completion {
  uint64_t id;
  uint32_t length;
  uint32_t source_queue_pair;
  int32_t status;  // 0: good
  uint8_t has_header;  // the device has put who sent it in front
};

// A GID by value, its bytes in memory order.
struct mirrorcast_verbs_address {
  uint64_t first, second;
};

// The way to a GID from a port. RoCE has no LIDs, service levels or rates.
struct mirrorcast_verbs_route {
  struct mirrorcast_verbs_address gid;
  uint32_t gid_index;  // of our own
  uint32_t flow_label;
  uint16_t lid;
  uint8_t is_global;
  uint8_t hops;
  uint8_t traffic_class;
  uint8_t service_level;
  uint8_t rate;
};

static inline int mirrorcast_verbs_errno(void) { return errno; }

static inline int mirrorcast_verbs_query_gid(struct ibv_context *context, uint32_t port,
                                             uint32_t index, struct mirrorcast_verbs_gid *gid) {
  struct ibv_gid_entry entry;
  int result = ibv_query_gid_ex(context, port, index, &entry, 0);
  if (result) return -result;
  memcpy(gid->bytes, entry.gid.raw, sizeof gid->bytes);
  gid->index = entry.gid_index;
  gid->port = entry.port_num;
  gid->interface = entry.ndev_ifindex;
  gid->is_roce_v2 = entry.gid_type == IBV_GID_TYPE_ROCE_V2;
  gid->is_infiniband = entry.gid_type == IBV_GID_TYPE_IB;
  return 0;
}

static inline int mirrorcast_verbs_query_port(struct ibv_context *context, uint32_t port,
                                              struct mirrorcast_verbs_port *found) {
  struct ibv_port_attr attributes;
  int result = ibv_query_port(context, (uint8_t)port, &attributes);
  if (result) return -result;
  found->mtu = 128u << attributes.active_mtu;
  found->gid_count = (uint32_t)attributes.gid_tbl_len;
  found->state = (uint8_t)attributes.state;
  found->is_infiniband = attributes.link_layer == IBV_LINK_LAYER_INFINIBAND;
  return 0;
}

static inline struct ibv_mr *mirrorcast_verbs_register(struct ibv_pd *domain, void *bytes,
                                                       size_t length) {
  return ibv_reg_mr(domain, bytes, length, IBV_ACCESS_LOCAL_WRITE);
}

// A channel whose descriptor doesn't block.
static inline struct ibv_comp_channel *mirrorcast_verbs_channel(struct ibv_context *context) {
  struct ibv_comp_channel *channel = ibv_create_comp_channel(context);
  if (!channel) return NULL;
  int flags = fcntl(channel->fd, F_GETFL);
  if (flags < 0 || fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    int number = errno;
    ibv_destroy_comp_channel(channel);
    errno = number;
    return NULL;
  }
  return channel;
}

static inline struct ibv_qp *mirrorcast_verbs_queue_pair(struct ibv_pd *domain,
                                                         struct ibv_cq *sends,
                                                         struct ibv_cq *receives,
                                                         uint32_t send_depth,
                                                         uint32_t receive_depth) {
  struct ibv_qp_init_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.send_cq = sends;
  attributes.recv_cq = receives;
  attributes.qp_type = IBV_QPT_UD;
  attributes.cap.max_send_wr = send_depth;
  attributes.cap.max_recv_wr = receive_depth;
  attributes.cap.max_send_sge = 1;
  attributes.cap.max_recv_sge = 1;
  return ibv_create_qp(domain, &attributes);
}

// To reset, or into error.
static inline int mirrorcast_verbs_stop(struct ibv_qp *pair, enum ibv_qp_state state) {
  struct ibv_qp_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.qp_state = state;
  return -ibv_modify_qp(pair, &attributes, IBV_QP_STATE);
}

// From reset to where receives may be posted.
static inline int mirrorcast_verbs_initialize(struct ibv_qp *pair, uint32_t port, uint32_t key) {
  struct ibv_qp_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = (uint8_t)port;
  attributes.qkey = key;
  return -ibv_modify_qp(pair, &attributes,
                        IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
}

// From there to where it receives and sends.
static inline int mirrorcast_verbs_start(struct ibv_qp *pair) {
  struct ibv_qp_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.qp_state = IBV_QPS_RTR;
  int result = ibv_modify_qp(pair, &attributes, IBV_QP_STATE);
  if (result) return -result;
  attributes.qp_state = IBV_QPS_RTS;
  return -ibv_modify_qp(pair, &attributes, IBV_QP_STATE | IBV_QP_SQ_PSN);
}

// Which multicast packets a queue pair gets; the LID is InfiniBand's, and 0 elsewhere.
static inline int mirrorcast_verbs_attach(struct ibv_qp *pair,
                                          const struct mirrorcast_verbs_route *group) {
  union ibv_gid gid;
  memcpy(gid.raw, &group->gid, sizeof gid.raw);
  return -ibv_attach_mcast(pair, &gid, group->lid);
}

static inline int mirrorcast_verbs_detach(struct ibv_qp *pair,
                                          const struct mirrorcast_verbs_route *group) {
  union ibv_gid gid;
  memcpy(gid.raw, &group->gid, sizeof gid.raw);
  return -ibv_detach_mcast(pair, &gid, group->lid);
}

static inline struct ibv_ah *mirrorcast_verbs_handle(struct ibv_pd *domain, uint32_t port,
                                                     const struct mirrorcast_verbs_route *to) {
  struct ibv_ah_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  memcpy(attributes.grh.dgid.raw, &to->gid, sizeof attributes.grh.dgid.raw);
  attributes.grh.sgid_index = (uint8_t)to->gid_index;
  attributes.grh.hop_limit = to->hops;
  attributes.grh.traffic_class = to->traffic_class;
  attributes.grh.flow_label = to->flow_label;
  attributes.is_global = to->is_global;
  attributes.dlid = to->lid;
  attributes.sl = to->service_level;
  attributes.static_rate = to->rate;
  attributes.port_num = (uint8_t)port;
  return ibv_create_ah(domain, &attributes);
}

// Posts the datagrams of a train, `segment` bytes each, the last as many or fewer; completion of
// the last one is told, with this id. How many were posted, or an errno if none.
static inline int mirrorcast_verbs_send(struct ibv_qp *pair, const void *bytes, uint32_t length,
                                        uint32_t segment, uint32_t memory_key,
                                        const struct mirrorcast_verbs_destination *to,
                                        uint64_t id) {
  struct ibv_send_wr requests[mirrorcast_verbs_chain_max];
  struct ibv_sge pieces[mirrorcast_verbs_chain_max];
  struct ibv_send_wr *bad = NULL;
  uint32_t count = 0, done = 0;
  while (done < length && count < mirrorcast_verbs_chain_max) {
    uint32_t piece = length - done < segment ? length - done : segment;
    pieces[count].addr = (uintptr_t)bytes + done;
    pieces[count].length = piece;
    pieces[count].lkey = memory_key;
    struct ibv_send_wr *request = &requests[count];
    memset(request, 0, sizeof *request);
    request->wr_id = id;
    request->sg_list = &pieces[count];
    request->num_sge = 1;
    request->opcode = IBV_WR_SEND;
    request->wr.ud.ah = to->handle;
    request->wr.ud.remote_qpn = to->queue_pair;
    request->wr.ud.remote_qkey = to->key;
    if (count) requests[count - 1].next = request;
    done += piece;
    count++;
  }
  if (!count) return -EINVAL;
  requests[count - 1].send_flags = IBV_SEND_SIGNALED;
  int result = ibv_post_send(pair, requests, &bad);
  if (!result) return (int)count;
  int posted = bad ? (int)(bad - requests) : 0;
  return posted ? posted : -result;
}

// Posts `count` slots from `first` on, each to be filled by one datagram; 0 or an errno.
static inline int mirrorcast_verbs_receive(struct ibv_qp *pair, void *slots, uint32_t stride,
                                           uint32_t length, uint32_t memory_key, uint32_t first,
                                           uint32_t count) {
  struct ibv_recv_wr requests[mirrorcast_verbs_chain_max];
  struct ibv_sge pieces[mirrorcast_verbs_chain_max];
  while (count) {
    uint32_t chain = count < mirrorcast_verbs_chain_max ? count : mirrorcast_verbs_chain_max;
    for (uint32_t index = 0; index < chain; index++) {
      pieces[index].addr = (uintptr_t)slots + (uint64_t)stride * (first + index);
      pieces[index].length = length;
      pieces[index].lkey = memory_key;
      requests[index].wr_id = first + index;
      requests[index].next = index + 1 < chain ? &requests[index + 1] : NULL;
      requests[index].sg_list = &pieces[index];
      requests[index].num_sge = 1;
    }
    struct ibv_recv_wr *bad = NULL;
    int result = ibv_post_recv(pair, requests, &bad);
    if (result) return -result;
    first += chain;
    count -= chain;
  }
  return 0;
}

// What is complete, at most a chain's length; how many, or an errno.
static inline int mirrorcast_verbs_poll(struct ibv_cq *queue,
                                        struct mirrorcast_verbs_completion *completions,
                                        uint32_t max) {
  struct ibv_wc found[mirrorcast_verbs_chain_max];
  int count = ibv_poll_cq(
      queue, (int)(max < mirrorcast_verbs_chain_max ? max : mirrorcast_verbs_chain_max), found);
  if (count < 0) return -EIO;
  for (int index = 0; index < count; index++) {
    completions[index].id = found[index].wr_id;
    completions[index].length = found[index].byte_len;
    completions[index].source_queue_pair = found[index].src_qp;
    completions[index].status = (int32_t)found[index].status;
    completions[index].has_header = (found[index].wc_flags & IBV_WC_GRH) != 0;
  }
  return count;
}

// Has the next completion told on the channel.
static inline int mirrorcast_verbs_arm(struct ibv_cq *queue) {
  return -ibv_req_notify_cq(queue, 0);
}

// Gives a channel back. A device that was taken away destroys nothing any more: the library keeps
// its own objects then, but the descriptor is closed.
static inline void mirrorcast_verbs_close_channel(struct ibv_comp_channel *channel) {
  int descriptor = channel->fd;
  if (ibv_destroy_comp_channel(channel)) close(descriptor);
}

// Takes one notice from the channel; 1, or 0 when there is none.
static inline int mirrorcast_verbs_take_notice(struct ibv_comp_channel *channel) {
  struct ibv_cq *queue = NULL;
  void *context = NULL;
  if (ibv_get_cq_event(channel, &queue, &context)) return 0;
  ibv_ack_cq_events(queue, 1);
  return 1;
}

#endif
