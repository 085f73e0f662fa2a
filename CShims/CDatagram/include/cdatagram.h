// What Swift can't see of Linux: datagram batches, control messages, membership, affinity.
//
// Thin wrappers that decide nothing. A call that was interrupted is made again; every failure comes
// back as a negative errno, and nothing is printed, allocated or kept.
#ifndef MIRRORCAST_CDATAGRAM_H
#define MIRRORCAST_CDATAGRAM_H

#include <stddef.h>
#include <stdint.h>

/// A numeric address: family is 4, 6 or 0 (none); IPv4 uses the first four bytes, network order;
/// the port is in host order, the scope is an interface index (IPv6 only).
typedef struct {
    uint8_t bytes[16];
    uint32_t scope;
    uint16_t port;
    uint16_t family;
} mirrorcast_endpoint;

/// One slot of a receive: the caller names bytes and capacity, the call fills in the rest.
typedef struct {
    void *bytes;
    uint32_t capacity;
    uint32_t length;        // as it was sent: more than the capacity when its end is lost
    uint32_t dropped;       // the socket's drop counter, valid when has_dropped
    int32_t segment_size;   // of a coalesced receive (UDP_GRO), 0 when there is none
    uint8_t is_truncated;
    uint8_t has_dropped;
    mirrorcast_endpoint source;
} mirrorcast_arrival;

/// Datagrams of one length that lie behind one another, the last as long or shorter, and where
/// they go: an index into the caller's destinations.
typedef struct {
    const void *bytes;
    uint32_t length;
    uint32_t segment_size;
    uint32_t destination;
} mirrorcast_train;

/// A socket address, ready for the kernel; length 0 is the peer of a connected socket.
typedef struct {
    uint64_t address[4];
    uint32_t length;
} mirrorcast_destination;

/// An interface as one of its addresses shows it.
typedef struct {
    char name[16];
    int32_t index;
    int32_t mtu;
    uint8_t is_loopback;
    uint8_t is_up;
    uint8_t can_multicast;
    mirrorcast_endpoint address;
} mirrorcast_interface;

/// One descriptor to wait for; `ready` is filled in (1: readable, 2: writable, 4: error).
typedef struct {
    int32_t descriptor;
    uint8_t wants_write;
    uint8_t ready;
} mirrorcast_waited;

enum { mirrorcast_batch_max = 64, mirrorcast_waited_max = 256 };

// Addresses. parse takes the numeric text without brackets or port; format wants 64 bytes.
int mirrorcast_parse_address(const char *text, mirrorcast_endpoint *endpoint);
int mirrorcast_format_address(const mirrorcast_endpoint *endpoint, char *text, size_t capacity);
void mirrorcast_prepare_destination(
    const mirrorcast_endpoint *endpoint, mirrorcast_destination *destination);

// Sockets: non-blocking, closed on exec, never fragmented by IP.
int mirrorcast_socket(int family);
int mirrorcast_close(int descriptor);
int mirrorcast_bind(int descriptor, const mirrorcast_endpoint *endpoint, int reuse_address);
int mirrorcast_connect(int descriptor, const mirrorcast_endpoint *endpoint);
int mirrorcast_local_endpoint(int descriptor, mirrorcast_endpoint *endpoint);

// Membership. A source of family 0 means any source.
int mirrorcast_join(
    int descriptor, int interface, const mirrorcast_endpoint *group,
    const mirrorcast_endpoint *source);
int mirrorcast_leave(
    int descriptor, int interface, const mirrorcast_endpoint *group,
    const mirrorcast_endpoint *source);

// Multicast options; family is the socket's.
int mirrorcast_set_multicast_all(int descriptor, int family, int on);
int mirrorcast_set_hops(int descriptor, int family, int hops);
int mirrorcast_set_loop(int descriptor, int family, int on);
int mirrorcast_set_multicast_interface(int descriptor, int family, int interface);

// Buffers: the size that was granted (as the kernel counts, twice the payload), or an error.
int mirrorcast_set_receive_buffer(int descriptor, int bytes);
int mirrorcast_set_send_buffer(int descriptor, int bytes);
int mirrorcast_count_drops(int descriptor);

// Offloads. can_segment says whether the kernel knows UDP_SEGMENT; coalesce asks for UDP_GRO.
int mirrorcast_can_segment(int descriptor);
int mirrorcast_coalesce(int descriptor);

// Errors of a sending socket: after report_errors a full local queue is ENOBUFS, and what the
// network reports waits in a queue that drain_errors empties; how many of them it took out.
int mirrorcast_report_errors(int descriptor, int family);
int mirrorcast_drain_errors(int descriptor);

// Batches of at most mirrorcast_batch_max messages: how many came or went, 0 when it would block,
// or an error (of the first: what comes before a failing one is counted, the error shows next
// time). send_trains sends each train as one message, cut up on the way (UDP_SEGMENT); send_singly
// sends one datagram a message and counts datagrams.
int mirrorcast_receive(int descriptor, mirrorcast_arrival *arrivals, unsigned count);
int mirrorcast_send_trains(
    int descriptor, const mirrorcast_train *trains, unsigned count,
    const mirrorcast_destination *destinations);
int mirrorcast_send_singly(
    int descriptor, const mirrorcast_train *trains, unsigned count,
    const mirrorcast_destination *destinations, unsigned datagrams_max);

// Streams (TCP), non-blocking. accept, send and receive give -EAGAIN when it would block; receive
// gives 0 at the end of the stream; connect (above) gives -EINPROGRESS, and connected then 1, 0 as
// long as that isn't known, or an error. set_silence: no delay, and how long a peer may be silent.
int mirrorcast_stream_listen(const mirrorcast_endpoint *endpoint, int backlog);
int mirrorcast_stream_accept(int descriptor, mirrorcast_endpoint *peer);
int mirrorcast_stream_open(const mirrorcast_endpoint *local);
int mirrorcast_stream_set_silence(int descriptor, int seconds);
int mirrorcast_stream_connected(int descriptor);
long mirrorcast_stream_send(int descriptor, const void *bytes, size_t count);
long mirrorcast_stream_receive(int descriptor, void *bytes, size_t count);

// Interfaces. by_name gives an address of `family` where there is one (family 0 otherwise).
int mirrorcast_interface_by_name(const char *name, int family, mirrorcast_interface *found);
int mirrorcast_interface_by_address(
    const mirrorcast_endpoint *address, mirrorcast_interface *found);

// Events, waiting, time. drain gives 1 when something had been signalled, else 0.
int mirrorcast_event_open(void);
int mirrorcast_event_signal(int descriptor);
int mirrorcast_event_drain(int descriptor);
int mirrorcast_wait(mirrorcast_waited *waited, unsigned count, int64_t timeout_nanoseconds);
uint64_t mirrorcast_now(void);

/// Tells the processor that this thread spins: its twin gets the core's time, and it wakes faster.
static inline void mirrorcast_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

// The calling thread, and a new thread.
int mirrorcast_pin_to_core(int core);
int mirrorcast_pin_to_cores(const uint64_t *mask, unsigned words);
int mirrorcast_current_cores(uint64_t *mask, unsigned words);
/// Lets others that wait for this core go first.
void mirrorcast_yield(void);
int mirrorcast_name_thread(const char *name);
int mirrorcast_start_thread(void *(*body)(void *), void *context, void **thread);
int mirrorcast_join_thread(void *thread);

// Pages that are zero and untouched; huge ones want a multiple of mirrorcast_huge_page bytes.
// prefer_node comes before the first touch, fill_pages is one; node_of is a node, or -ENOENT for a
// page that was never touched.
enum { mirrorcast_huge_page = 2 << 20 };
typedef enum {
    mirrorcast_pages_ordinary,
    mirrorcast_pages_transparent,
    mirrorcast_pages_hugetlb,
} mirrorcast_page_kind;
int mirrorcast_map_pages(size_t bytes, mirrorcast_page_kind kind, void **pages);
int mirrorcast_unmap_pages(void *pages, size_t bytes);
int mirrorcast_prefer_node(void *pages, size_t bytes, int node);
int mirrorcast_fill_pages(void *pages, size_t bytes);
int mirrorcast_node_of(const void *address);

// Reads at most capacity - 1 bytes of a small file (sysfs) as a C string.
int mirrorcast_read_small_file(const char *path, char *text, size_t capacity);
// The words for an errno, as a C string.
void mirrorcast_error_text(int number, char *text, size_t capacity);

#endif
