// The fastest that multicast goes on this machine with no protocol at all: the ceiling.
//
// The sender never touches its payload again, so it stays in the cache, and lets the kernel cut
// each message into datagrams (UDP_SEGMENT); the receiver lets the kernel join them (UDP_GRO) and
// looks at nothing but lengths. What a mirror gets of this tells the price of its protocol.
//
//   ceiling send GROUP PORT SECONDS ADDRESS     from the interface with this address
//   ceiling receive GROUP PORT SECONDS ADDRESS  prints the bytes a second between first and last
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { SEGMENT = 1448, SEGMENTS = 44, MESSAGES = 8, BATCH = 64, BUFFER = 65536 };

static double seconds_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void set(int descriptor, int level, int option, const void *value, socklen_t length) {
  if (setsockopt(descriptor, level, option, value, length) != 0) {
    fprintf(stderr, "ceiling: option %d: %s\n", option, strerror(errno));
    exit(1);
  }
}

static void set_int(int descriptor, int level, int option, int value) {
  set(descriptor, level, option, &value, sizeof value);
}

static void point_at(struct mmsghdr *messages, struct iovec *pieces, int count, size_t length) {
  char *memory = malloc(count * length);
  if (memory == NULL) exit(1);
  memset(memory, 0x5a, count * length);
  memset(messages, 0, count * sizeof *messages);
  for (int index = 0; index < count; index++) {
    pieces[index].iov_base = memory + index * length;
    pieces[index].iov_len = length;
    messages[index].msg_hdr.msg_iov = &pieces[index];
    messages[index].msg_hdr.msg_iovlen = 1;
  }
}

static int send_for(int descriptor, struct sockaddr_in group, struct in_addr from, double limit) {
  struct mmsghdr messages[MESSAGES];
  struct iovec pieces[MESSAGES];
  unsigned long long bytes = 0;
  set(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof from);
  set_int(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
  set_int(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20);
  set_int(descriptor, IPPROTO_UDP, UDP_SEGMENT, SEGMENT);
  if (connect(descriptor, (struct sockaddr *)&group, sizeof group) != 0) return 1;
  point_at(messages, pieces, MESSAGES, SEGMENT * SEGMENTS);
  double begin = seconds_now(), now = begin;
  for (; now - begin < limit; now = seconds_now()) {
    int sent = sendmmsg(descriptor, messages, MESSAGES, 0);
    if (sent > 0) bytes += (unsigned long long)sent * SEGMENT * SEGMENTS;
    else if (errno != ENOBUFS && errno != EAGAIN) return 1;
  }
  printf("%.0f\n", bytes / (now - begin));
  return 0;
}

static int receive_for(int descriptor, struct sockaddr_in group, struct in_addr at, double limit) {
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  struct ip_mreq membership = {.imr_multiaddr = group.sin_addr, .imr_interface = at};
  struct timeval patience = {.tv_usec = 200000};
  unsigned long long bytes = 0;
  double first = 0, last = 0;
  set_int(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  set_int(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20);
  set(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (bind(descriptor, (struct sockaddr *)&group, sizeof group) != 0) return 1;
  set(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership);
  set_int(descriptor, IPPROTO_UDP, UDP_GRO, 1);
  point_at(messages, pieces, BATCH, BUFFER);
  printf("ready\n");
  fflush(stdout);
  for (double begin = seconds_now(); seconds_now() - begin < limit;) {
    int received = recvmmsg(descriptor, messages, BATCH, MSG_WAITFORONE, NULL);
    if (received <= 0) {
      if (first > 0) break;
      continue;
    }
    last = seconds_now();
    // What came with the first call was under way before the clock started.
    if (first == 0) first = last;
    else for (int index = 0; index < received; index++) bytes += messages[index].msg_len;
  }
  printf("%.0f\n", last > first ? bytes / (last - first) : 0);
  return 0;
}

int main(int count, char **words) {
  struct sockaddr_in group = {.sin_family = AF_INET};
  struct in_addr here;
  if (count != 6 || inet_pton(AF_INET, words[2], &group.sin_addr) != 1
      || inet_pton(AF_INET, words[5], &here) != 1) {
    fprintf(stderr, "usage: ceiling send|receive GROUP PORT SECONDS ADDRESS\n");
    return 64;
  }
  group.sin_port = htons(atoi(words[3]));
  int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  if (descriptor < 0) return 1;
  int status = strcmp(words[1], "send") == 0
    ? send_for(descriptor, group, here, atof(words[4]))
    : receive_for(descriptor, group, here, atof(words[4]));
  if (status != 0) fprintf(stderr, "ceiling: %s\n", strerror(errno));
  return status;
}
