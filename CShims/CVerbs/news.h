// What an RDMA device tells of itself, and how one hears it. An errno comes back negative.
#ifndef MIRRORCAST_CVERBS_NEWS_H
#define MIRRORCAST_CVERBS_NEWS_H

#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

// What a device tells of itself.
enum mirrorcast_verbs_news {
  mirrorcast_verbs_no_news,
  mirrorcast_verbs_removed,
  mirrorcast_verbs_port_down,
  mirrorcast_verbs_port_up,
  mirrorcast_verbs_fault,
};

// Where it does: `any` is readable when one of the two others is.
struct mirrorcast_verbs_watch {
  int any, nodes;
};

static inline void mirrorcast_verbs_unwatch(struct mirrorcast_verbs_watch *watch) {
  if (watch->nodes >= 0) close(watch->nodes);
  if (watch->any >= 0) close(watch->any);
  watch->any = watch->nodes = -1;
}

static inline int mirrorcast_verbs_watch_also(const struct mirrorcast_verbs_watch *watch,
                                              int descriptor) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  return epoll_ctl(watch->any, EPOLL_CTL_ADD, descriptor, &event) ? -errno : 0;
}

// Watches the device's own events, which don't block from then on, and the folder of its node: a
// driver that can't be parted from its users says nothing when its device is to go, but waits for
// the last of them, with the node gone already.
static inline int mirrorcast_verbs_watch(struct ibv_context *context,
                                         struct mirrorcast_verbs_watch *watch) {
  watch->any = epoll_create1(EPOLL_CLOEXEC);
  watch->nodes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  int flags = fcntl(context->async_fd, F_GETFL);
  int result = 0;
  if (watch->any < 0 || flags < 0 ||
      fcntl(context->async_fd, F_SETFL, flags | O_NONBLOCK) < 0)
    result = -errno;
  // Where there is no such folder, or no more to watch it by, nothing is told of it.
  if (watch->nodes >= 0) (void)inotify_add_watch(watch->nodes, "/dev/infiniband", IN_DELETE);
  if (!result && watch->nodes >= 0) result = mirrorcast_verbs_watch_also(watch, watch->nodes);
  if (!result) result = mirrorcast_verbs_watch_also(watch, context->async_fd);
  if (result) mirrorcast_verbs_unwatch(watch);
  return result;
}

static inline int mirrorcast_verbs_is_gone(struct ibv_context *context, int nodes) {
  char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
  int is_gone = 0;
  ssize_t count;
  if (nodes < 0) return 0;
  while ((count = read(nodes, room, sizeof room)) > 0) {
    for (ssize_t at = 0; at < count;) {
      const struct inotify_event *event = (const struct inotify_event *)(room + at);
      if (event->len && !strcmp(event->name, context->device->dev_name)) is_gone = 1;
      at += (ssize_t)(sizeof *event + event->len);
    }
  }
  return is_gone;
}

// The next of what a port's user wants to know; what else comes is passed over.
static inline enum mirrorcast_verbs_news mirrorcast_verbs_take_news(
    struct ibv_context *context, const struct mirrorcast_verbs_watch *watch, uint32_t port) {
  struct ibv_async_event event;
  if (mirrorcast_verbs_is_gone(context, watch->nodes)) return mirrorcast_verbs_removed;
  while (!ibv_get_async_event(context, &event)) {
    ibv_ack_async_event(&event);
    switch (event.event_type) {
      case IBV_EVENT_DEVICE_FATAL:
        return mirrorcast_verbs_removed;
      case IBV_EVENT_PORT_ERR:
        if ((uint32_t)event.element.port_num == port) return mirrorcast_verbs_port_down;
        break;
      case IBV_EVENT_PORT_ACTIVE:
        if ((uint32_t)event.element.port_num == port) return mirrorcast_verbs_port_up;
        break;
      case IBV_EVENT_CQ_ERR:
      case IBV_EVENT_QP_FATAL:
      case IBV_EVENT_QP_REQ_ERR:
      case IBV_EVENT_QP_ACCESS_ERR:
        return mirrorcast_verbs_fault;
      default:
        break;
    }
  }
  return mirrorcast_verbs_no_news;
}

#endif
