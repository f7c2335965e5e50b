/*
 * packetloop: the data plane of every node of the replication system. It receives,
 * replicates, holds, sends and stamps messages; it decides nothing: what goes where,
 * in which order and when is told to it on stdin, what it saw it says on stdout.
 *
 * A process of its own because an event loop releases packets milliseconds late;
 * one thread, real-time priority, sleeping until shortly before a release and
 * spinning for the rest.
 *
 * usage: packetloop relay|endpoint SELF_ID ADDRESS PORT
 *
 * Commands, one a line:
 *   key HEX32                             what messages are signed with; first
 *   peer ID ADDRESS                       where a node is
 *   probe ID INTERVAL_US BYTES            measurement messages to it (0: none)
 *   graph G EPOCH [PEER MODE NS]...       a directive: destinations in sending order; MODE r holds for NS after
 *                                         arrival, a until NS after generation; NS 0 in mode r: not held
 *   activate G EPOCH                      new messages are stamped with it; directives of an older epoch rule what they do not replace
 *   flow ADDRESS PORT G                   messages that come from there belong to graph G
 *   buffer BYTES drop|early               limit of what is held, and what gives way: the new replica, or the earliest one
 *   stream ID PERIOD_NS COUNT BYTES START_NS PEER...   generate messages from START_NS (epoch) on
 *   aim ID PEER...                        where a stream's messages go from now on
 *   clock NS                              this node's clock is wrong by so much (an injected fault)
 *   release kernel                        what is held goes to the kernel early, which sends it in time (qdisc fq)
 *   trace 0|1
 * Answers: "M ADDRESS PORT" (a flow without a graph), "P ID:NS ..." (one-way latencies of probes),
 * "D base64" and "R base64" (records of deliveries and of replicas), "S {...}" (statistics), "E message".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "siphash.h"

enum {
	MAX_PEERS = 4096, MAX_GRAPHS = 64, EPOCHS_KEPT = 8, MAX_FLOWS = 1024, MAX_STREAMS = 16, MAX_WAITING = 256,
	BATCH = 32, MESSAGE_MAX = 9000, HEADER_BYTES = 56, MAGIC = 0x4e52, DATA = 1, PROBE = 2,
	OUTPUT_MAX = 4 << 20, RECORDS = 512, ERROR_BUCKETS = 24, STAMPS = 8192
};
/* HANDOVER: a thread that wakes up late by less than this still has its replicas sent in time by the kernel. */
static const int64_t SPIN_NS = 60000, HANDOVER_NS = 5000000, FLUSH_NS = 200000000, STATISTICS_NS = 500000000;

struct header {
	uint16_t magic;
	uint8_t version, kind;
	uint32_t graph, epoch, source;
	uint64_t sequence, generated_ns, sent_ns;
	uint32_t sender;
	uint16_t payload, flags;
	uint64_t tag;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == HEADER_BYTES, "wire format");

struct destination { uint32_t peer; char mode; int64_t ns; };
struct directive { uint32_t epoch; int count; struct destination *to; };
struct graph { uint32_t id, active; int used, next; struct directive kept[EPOCHS_KEPT]; };
struct flow { uint32_t address; uint16_t port; uint32_t graph; int asked; };
struct message { int references; size_t length; int64_t arrived_mono, arrived_real; unsigned char data[]; };
struct held { int64_t release_ns; uint64_t order; struct message *message; uint32_t peer, graph, epoch; int slot; };
/* Where messages go, and the graph that they enter there; 0: none. */
struct target { uint32_t peer, graph; };
struct stream { uint32_t id; int fd, targets; int64_t period_ns, left, next_ns; uint64_t sequence; uint16_t beginning; size_t bytes; struct target to[MAX_PEERS]; };

/* Records as evidence keeps them: little-endian, in the order of the fields. */
struct delivery { uint32_t graph, epoch; uint64_t sequence; uint32_t source, sender, bytes, flags; int64_t generated_ns, kernel_ns, application_ns; } __attribute__((packed));
struct replica { uint32_t graph, epoch; uint64_t sequence; uint32_t source, peer, slot, bytes; int64_t arrived_ns, due_ns, sent_ns; } __attribute__((packed));

static int relay, keyed;
static uint32_t self_id, peer_limit;
static uint64_t key[2];
static int data_fd;
static uint16_t port;
static struct sockaddr_in peers[MAX_PEERS];
static int64_t probe_interval_ns[MAX_PEERS], probe_next_ns[MAX_PEERS];
static size_t probe_bytes[MAX_PEERS];
static struct graph graphs[MAX_GRAPHS];
static struct flow flows[MAX_FLOWS];
static int flow_count;
static struct message *waiting[MAX_WAITING];
static struct sockaddr_in waiting_from[MAX_WAITING];
static int waiting_count;
static struct stream streams[MAX_STREAMS];
static struct held *heap;
static size_t heap_size, heap_room;
static uint64_t heap_order;
static size_t buffer_bytes = 64u << 20, held_bytes;
static int early, tracing = 1;

static struct delivery deliveries[RECORDS];
static struct replica replicas[RECORDS];
static size_t delivery_count, replica_count;
static char output[OUTPUT_MAX], latencies[65536];
static size_t output_used, latencies_used;

static struct {
	uint64_t received, received_bytes, delivered, replicated, generated, probes, forged, replayed, undirected, stale, waited, overflowed, late, unsent, untraced, unstamped;
	uint64_t dwell_ns, dwell_count, elapsed_ns, elapsed_count, held_most, error[ERROR_BUCKETS];
} stats;

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The node's clock: the machine's, but for what an experiment makes it wrong by. */
static int64_t clock_error_ns;

static int64_t real_ns(void)
{
	return clock_ns(CLOCK_REALTIME) + clock_error_ns;
}

static void die(const char *what)
{
	fprintf(stderr, "packetloop: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Output never blocks the loop: what a full pipe does not take waits here, and is counted as lost beyond that. */
static int emit(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(output + output_used, sizeof output - output_used, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof output - output_used) return 0;
	output_used += (size_t)n;
	return 1;
}

static void drain(void)
{
	while (output_used > 0) {
		ssize_t n = write(STDOUT_FILENO, output, output_used);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return;
		memmove(output, output + n, output_used - (size_t)n);
		output_used -= (size_t)n;
	}
}

static void emit_base64(char kind, const void *data, size_t length, size_t records)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = data;
	if (length == 0) return;
	if (output_used + length * 4 / 3 + 16 > sizeof output) {
		stats.untraced += records;
		return;
	}
	char *out = output + output_used;
	*out++ = kind;
	*out++ = ' ';
	for (size_t i = 0; i < length; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < length ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < length ? in[i + 2] : 0);
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < length ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < length ? digits[v & 63] : '=';
	}
	*out++ = '\n';
	output_used = (size_t)(out - output);
}

static void flush_records(void)
{
	emit_base64('D', deliveries, delivery_count * sizeof *deliveries, delivery_count);
	emit_base64('R', replicas, replica_count * sizeof *replicas, replica_count);
	delivery_count = replica_count = 0;
	if (latencies_used > 0) {
		latencies[latencies_used] = 0;
		emit("P%s\n", latencies);
		latencies_used = 0;
	}
}

/* For one receiver: what was recorded on the way to another says nothing to it. */
static uint64_t tag_of(unsigned char *data, size_t length, uint32_t receiver)
{
	struct header *h = (struct header *)data;
	uint64_t kept = h->tag, tag;
	h->tag = htobe64(receiver);
	tag = siphash(key, data, length);
	h->tag = kept;
	return tag;
}

/* Stamps, signs and sends; the moment at which sending began. */
static int64_t transmit(int fd, unsigned char *data, size_t length, uint32_t peer)
{
	struct header *h = (struct header *)data;
	int64_t now = real_ns();
	h->sender = htonl(self_id);
	h->sent_ns = htobe64((uint64_t)now);
	h->tag = tag_of(data, length, peer);
	/* A peer that is not there is its own problem; a full queue drops, as a switch does. */
	if (peer >= MAX_PEERS || !peers[peer].sin_port || sendto(fd, data, length, 0, (struct sockaddr *)&peers[peer], sizeof peers[peer]) < 0) stats.unsent++;
	return now;
}

static void drop_message(struct message *m)
{
	if (--m->references == 0) free(m);
}

static int earlier(const struct held *a, const struct held *b)
{
	return a->release_ns != b->release_ns ? a->release_ns < b->release_ns : a->order < b->order;
}

static void heap_push(struct held h)
{
	size_t i = heap_size;
	if (heap_size == heap_room) {
		heap_room = heap_room ? heap_room * 2 : 1024;
		if (!(heap = realloc(heap, heap_room * sizeof *heap))) die("memory");
	}
	heap_size++;
	for (; i > 0 && earlier(&h, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
	heap[i] = h;
}

static struct held heap_pop(void)
{
	struct held top = heap[0], last = heap[--heap_size];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= heap_size) break;
		if (child + 1 < heap_size && earlier(&heap[child + 1], &heap[child])) child++;
		if (!earlier(&heap[child], &last)) break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return top;
}

static void trace_replica(struct replica record)
{
	if (!tracing) return;
	replicas[replica_count++] = record;
	if (replica_count == RECORDS) flush_records();
}

static struct replica record_of(const struct held *h, int64_t due_ns, int64_t sent_ns)
{
	const struct header *m = (const struct header *)h->message->data;
	return (struct replica){
		.graph = h->graph, .epoch = h->epoch, .sequence = be64toh(m->sequence), .source = ntohl(m->source), .peer = h->peer,
		.slot = (uint32_t)h->slot, .bytes = (uint32_t)h->message->length, .arrived_ns = h->message->arrived_real, .due_ns = due_ns, .sent_ns = sent_ns };
}

static void address_replica(const struct held *h)
{
	struct header *m = (struct header *)h->message->data;
	m->graph = htonl(h->graph);
	m->epoch = htonl(h->epoch);
	stats.replicated++;
}

static void send_replica(const struct held *h, int64_t due_real)
{
	address_replica(h);
	trace_replica(record_of(h, due_real, transmit(data_fd, h->message->data, h->message->length, h->peer)));
}

/* Early is as wrong as late. */
static void count_lateness(int64_t late_ns)
{
	int bucket = 0;
	for (int64_t us = (late_ns < 0 ? -late_ns : late_ns) / 1000; us > 0 && bucket < ERROR_BUCKETS - 1; us >>= 1) bucket++;
	stats.error[bucket]++;
}

/* What the kernel is to send at a set time, until it says when it did; by the number that it counts sendings with. */
static struct { int awaited; struct replica record; } stamps[STAMPS];
static uint32_t stamp_next;
static int timed_fd = -1;

static void open_timed(void);

/* After a sending that failed nobody knows what the kernel counted: a new socket counts from zero, and hears of its own packets only. */
static void count_stamps_anew(void)
{
	int on = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
	for (int i = 0; i < STAMPS; i++) {
		if (stamps[i].awaited) stats.unstamped++;
		stamps[i].awaited = 0;
	}
	stamp_next = 0;
	if (timed_fd >= 0) close(timed_fd);
	open_timed();
	if (setsockopt(timed_fd, SOL_SOCKET, SO_TIMESTAMPING, &on, sizeof on) < 0) die("SO_TIMESTAMPING");
}

static void hand_over(const struct held *h, int64_t due_real)
{
	unsigned char *data = h->message->data;
	struct header *m = (struct header *)data;
	union { char room[CMSG_SPACE(sizeof(uint64_t))]; struct cmsghdr align; } control = { 0 };
	struct iovec iov = { data, h->message->length };
	address_replica(h);
	m->sender = htonl(self_id);
	m->sent_ns = htobe64((uint64_t)due_real);
	m->tag = tag_of(data, h->message->length, h->peer);
	if (h->peer >= MAX_PEERS || !peers[h->peer].sin_port) {
		stats.unsent++;
		return;
	}
	struct msghdr message = { .msg_name = &peers[h->peer], .msg_namelen = sizeof peers[h->peer], .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	uint64_t at = (uint64_t)h->release_ns;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_TXTIME;
	c->cmsg_len = CMSG_LEN(sizeof at);
	memcpy(CMSG_DATA(c), &at, sizeof at);
	if (sendmsg(timed_fd, &message, 0) < 0) {
		stats.unsent++;
		count_stamps_anew();
		return;
	}
	if (stamps[stamp_next % STAMPS].awaited) stats.unstamped++;
	stamps[stamp_next % STAMPS].awaited = 1;
	stamps[stamp_next % STAMPS].record = record_of(h, due_real, 0);
	stamp_next++;
}

/* When the kernel really sent: the records of held replicas end with it. */
static void read_stamps(void)
{
	char data[64], control[256];
	for (;;) {
		struct iovec iov = { data, sizeof data };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
		if (recvmsg(timed_fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
		int64_t sent = 0;
		struct sock_extended_err which = { 0 };
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
				struct timespec t;
				memcpy(&t, CMSG_DATA(c), sizeof t);
				sent = t.tv_sec * 1000000000LL + t.tv_nsec + clock_error_ns;
			} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) {
				memcpy(&which, CMSG_DATA(c), sizeof which);
			}
		}
		if (which.ee_origin != SO_EE_ORIGIN_TIMESTAMPING || sent == 0 || !stamps[which.ee_data % STAMPS].awaited) continue;
		stamps[which.ee_data % STAMPS].awaited = 0;
		struct replica record = stamps[which.ee_data % STAMPS].record;
		record.sent_ns = sent;
		count_lateness(sent - record.due_ns);
		trace_replica(record);
	}
}

static struct held take_first(void)
{
	struct held h = heap_pop();
	held_bytes -= h.message->length;
	return h;
}

static void release_first(int64_t mono, int64_t real)
{
	struct held h = take_first();
	/* What gives way to the buffer's limit is early on purpose. */
	if (mono >= h.release_ns) count_lateness(mono - h.release_ns);
	send_replica(&h, real - (mono - h.release_ns));
	drop_message(h.message);
}

/* So long before its time a replica is taken out of the heap: to spin for the rest, or to give it to the kernel. */
static int64_t lead_ns(void)
{
	return timed_fd < 0 ? SPIN_NS : HANDOVER_NS;
}

static void release_due(void)
{
	while (heap_size > 0) {
		int64_t mono = clock_ns(CLOCK_MONOTONIC);
		if (heap[0].release_ns - mono > lead_ns()) return;
		if (timed_fd >= 0) {
			struct held h = take_first();
			hand_over(&h, real_ns() + h.release_ns - mono);
			drop_message(h.message);
			continue;
		}
		while (mono < heap[0].release_ns) mono = clock_ns(CLOCK_MONOTONIC);
		release_first(mono, real_ns());
	}
}

static struct graph *graph_of(uint32_t id, int make)
{
	struct graph *empty = NULL;
	for (int i = 0; i < MAX_GRAPHS; i++) {
		if (graphs[i].used && graphs[i].id == id) return &graphs[i];
		if (!graphs[i].used && !empty) empty = &graphs[i];
	}
	if (!make || !empty) return NULL;
	*empty = (struct graph){ .id = id, .used = 1 };
	return empty;
}

/* What ruled in an epoch: the last directive until it was replaced. Nodes whose part does not change are not told. */
static struct directive *directive_of(struct graph *g, uint32_t epoch)
{
	struct directive *latest = NULL;
	for (int i = 0; i < EPOCHS_KEPT; i++) {
		struct directive *d = &g->kept[i];
		if (d->epoch && d->epoch <= epoch && (!latest || d->epoch > latest->epoch)) latest = d;
	}
	return latest;
}

static void hold(struct held h)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC);
	if (h.release_ns < now) {
		stats.late++;
		h.release_ns = now;
	}
	if (held_bytes + h.message->length > buffer_bytes) {
		stats.overflowed++;
		if (!early) return;
		while (heap_size > 0 && held_bytes + h.message->length > buffer_bytes) release_first(clock_ns(CLOCK_MONOTONIC), real_ns());
		if (held_bytes + h.message->length > buffer_bytes) return;
	}
	h.message->references++;
	h.order = heap_order++;
	held_bytes += h.message->length;
	if (held_bytes > stats.held_most) stats.held_most = held_bytes;
	heap_push(h);
}

static void replicate(struct message *m, uint32_t graph, uint32_t epoch, const struct directive *d)
{
	const struct header *h = (const struct header *)m->data;
	int64_t offset = real_ns() - clock_ns(CLOCK_MONOTONIC);
	int64_t before = clock_ns(CLOCK_MONOTONIC);
	int at_once = 0;
	for (int i = 0; i < d->count; i++) {
		const struct destination *to = &d->to[i];
		struct held r = { .message = m, .peer = to->peer, .graph = graph, .epoch = epoch, .slot = i };
		r.release_ns = to->mode == 'a' ? (int64_t)be64toh(h->generated_ns) + to->ns - offset : m->arrived_mono + to->ns;
		if (to->mode == 'r' && to->ns == 0) {
			send_replica(&r, 0);
			at_once++;
		} else {
			hold(r);
		}
	}
	if (at_once > 0) {
		stats.dwell_ns += (uint64_t)(before - m->arrived_mono);
		stats.dwell_count++;
		stats.elapsed_ns += (uint64_t)(clock_ns(CLOCK_MONOTONIC) - before);
		stats.elapsed_count += (uint64_t)at_once;
	}
}

static struct flow *flow_of(const struct sockaddr_in *from)
{
	for (int i = 0; i < flow_count; i++)
		if (flows[i].address == from->sin_addr.s_addr && flows[i].port == from->sin_port) return &flows[i];
	return NULL;
}

/*
 * A message of a producer: it says which graph it enters, and the graph's active epoch is stamped on it. Where that graph
 * is not known yet, the flow says it. Not the flow alone: where two graphs change their entries for each other's, both of
 * a message's copies would enter the same one.
 */
static void enter(struct message *m, const struct sockaddr_in *from)
{
	struct flow *f = flow_of(from);
	struct graph *told = f && f->graph ? graph_of(ntohl(((struct header *)m->data)->graph), 0) : NULL;
	struct graph *g = told && told->active ? told : f && f->graph ? graph_of(f->graph, 0) : NULL;
	struct directive *d = g && g->active ? directive_of(g, g->active) : NULL;
	if (d) {
		replicate(m, g->id, g->active, d);
		return;
	}
	if (!f && flow_count < MAX_FLOWS) {
		f = &flows[flow_count++];
		*f = (struct flow){ .address = from->sin_addr.s_addr, .port = from->sin_port };
	}
	if (f && !f->asked) {
		char text[INET_ADDRSTRLEN];
		f->asked = 1;
		emit("M %s %u\n", inet_ntop(AF_INET, &from->sin_addr, text, sizeof text), ntohs(from->sin_port));
	}
	if (waiting_count == MAX_WAITING) {
		stats.undirected++;
		return;
	}
	stats.waited++;
	m->references++;
	waiting_from[waiting_count] = *from;
	waiting[waiting_count++] = m;
}

/* What waited for a directive goes on, in the order in which it came. */
static void enter_waiting(void)
{
	int count = waiting_count;
	waiting_count = 0;
	for (int i = 0; i < count; i++) {
		struct message *m = waiting[i];
		struct sockaddr_in from = waiting_from[i];
		enter(m, &from);
		drop_message(m);
	}
}

static void deliver(const struct message *m, const struct header *h, int64_t now)
{
	stats.delivered++;
	if (!tracing) return;
	deliveries[delivery_count++] = (struct delivery){
		.graph = ntohl(h->graph), .epoch = ntohl(h->epoch), .sequence = be64toh(h->sequence), .source = ntohl(h->source), .sender = ntohl(h->sender),
		.bytes = (uint32_t)m->length, .flags = ntohs(h->flags), .generated_ns = (int64_t)be64toh(h->generated_ns), .kernel_ns = m->arrived_real, .application_ns = now };
	if (delivery_count == RECORDS) flush_records();
}

/*
 * What came from one sender of one stream: the newest message, and which of the last WINDOW have come (as RFC 4303, 3.4.3).
 * Numbers, not times: an experiment may step a clock. A stream that begins anew counts from zero again; its flags say so.
 */
enum { WINDOW = 1024, WINDOWS = 16384, TRIES = 32 };
static struct window {
	uint64_t newest, touched, seen[WINDOW / 64];
	uint32_t sender, source, graph;
	uint16_t beginning;
	uint8_t kind, used;
} windows[WINDOWS];

static struct window *window_of(const struct header *h)
{
	uint32_t at = (h->sender * 2654435761u ^ h->source * 2246822519u ^ h->graph * 3266489917u ^ h->kind) % WINDOWS;
	struct window *least = &windows[at];
	for (uint32_t i = 0; i < TRIES; i++) {
		struct window *w = &windows[(at + i) % WINDOWS];
		if (w->kind == h->kind && w->sender == h->sender && w->source == h->source && w->graph == h->graph) return w;
		if (w->touched < least->touched) least = w;
		if (w->kind) continue;
		least = w;
		break;
	}
	*least = (struct window){ .sender = h->sender, .source = h->source, .graph = h->graph, .kind = h->kind };
	return least;
}

static int is_replayed(const struct header *h)
{
	static uint64_t touches;
	struct window *w = window_of(h);
	uint64_t sequence = be64toh(h->sequence);
	uint16_t beginning = ntohs(h->flags);
	int16_t later = (int16_t)(beginning - w->beginning);
	w->touched = ++touches;
	if (w->used && later < 0) return 1;
	if (!w->used || later > 0 || (sequence > w->newest && sequence - w->newest >= WINDOW)) {
		memset(w->seen, 0, sizeof w->seen);
		w->newest = sequence;
		w->beginning = beginning;
		w->used = 1;
	} else if (sequence > w->newest) {
		for (uint64_t s = w->newest + 1; s <= sequence; s++) w->seen[s % WINDOW / 64] &= ~(1ull << (s % 64));
		w->newest = sequence;
	} else if (w->newest - sequence >= WINDOW || w->seen[sequence % WINDOW / 64] >> (sequence % 64) & 1) {
		return 1;
	}
	w->seen[sequence % WINDOW / 64] |= 1ull << (sequence % 64);
	return 0;
}

static void accept_message(const unsigned char *data, size_t length, int64_t arrived_real, int64_t mono, int64_t real, const struct sockaddr_in *from)
{
	struct header *h = (struct header *)data;
	if (!keyed || length < HEADER_BYTES || ntohs(h->magic) != MAGIC || h->version != 1 || h->tag != tag_of((unsigned char *)data, length, self_id)) {
		stats.forged++;
		return;
	}
	if (is_replayed(h)) {
		stats.replayed++;
		return;
	}
	if (h->kind == PROBE) {
		if (latencies_used + 48 > sizeof latencies) flush_records();
		latencies_used += (size_t)snprintf(latencies + latencies_used, 48, " %u:%lld", ntohl(h->sender), (long long)(arrived_real - (int64_t)be64toh(h->sent_ns)));
		return;
	}
	struct message *m = malloc(sizeof *m + length);
	if (!m) return;
	int64_t age = real - arrived_real;
	if (age < 0 || age > 1000000000LL) age = 0; /* the clock was stepped */
	*m = (struct message){ .references = 1, .length = length, .arrived_mono = mono - age, .arrived_real = arrived_real };
	memcpy(m->data, data, length);
	h = (struct header *)m->data;
	stats.received++;
	stats.received_bytes += length;
	uint32_t id = ntohl(h->graph), epoch = ntohl(h->epoch);
	if (!relay) {
		deliver(m, h, real);
	} else if (epoch == 0) {
		enter(m, from);
	} else {
		struct graph *g = graph_of(id, 0);
		struct directive *d = g ? directive_of(g, epoch) : NULL;
		if (d) replicate(m, id, epoch, d);
		else stats.stale++;
	}
	drop_message(m);
}

static void receive(void)
{
	static unsigned char buffers[BATCH][MESSAGE_MAX];
	static char controls[BATCH][128];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in from[BATCH];
	int n;
	do {
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buffers[i], MESSAGE_MAX };
			msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = controls[i], .msg_controllen = sizeof controls[i] };
		}
		n = recvmmsg(data_fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		int64_t mono = clock_ns(CLOCK_MONOTONIC), real = real_ns();
		for (int i = 0; i < n; i++) {
			int64_t arrived = real;
			for (struct cmsghdr *c = CMSG_FIRSTHDR(&msgs[i].msg_hdr); c; c = CMSG_NXTHDR(&msgs[i].msg_hdr, c)) {
				if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
					struct timespec t;
					memcpy(&t, CMSG_DATA(c), sizeof t);
					arrived = t.tv_sec * 1000000000LL + t.tv_nsec + clock_error_ns;
				}
			}
			accept_message(buffers[i], msgs[i].msg_len, arrived, mono, real, &from[i]);
		}
		/* A flood must not keep what is due. */
		release_due();
	} while (n == BATCH);
}

static void fill_header(struct header *h, int kind, uint32_t source, uint64_t sequence, size_t bytes)
{
	*h = (struct header){ .magic = htons(MAGIC), .version = 1, .kind = (uint8_t)kind, .source = htonl(source), .sequence = htobe64(sequence),
		.generated_ns = htobe64((uint64_t)real_ns()), .payload = htons((uint16_t)(bytes - HEADER_BYTES)) };
}

/* Those of a process before are older. */
static uint64_t probe_number;

static void send_probes(int64_t now)
{
	static unsigned char data[MESSAGE_MAX];
	for (uint32_t p = 0; p < peer_limit; p++) {
		if (!probe_interval_ns[p] || probe_next_ns[p] > now) continue;
		fill_header((struct header *)data, PROBE, 0, ++probe_number, probe_bytes[p]);
		transmit(data_fd, data, probe_bytes[p], p);
		stats.probes++;
		probe_next_ns[p] += probe_interval_ns[p];
		if (probe_next_ns[p] <= now) probe_next_ns[p] = now + probe_interval_ns[p];
	}
}

static void generate(void)
{
	static unsigned char data[MESSAGE_MAX];
	for (int s = 0; s < MAX_STREAMS; s++) {
		struct stream *st = &streams[s];
		/* A few at a time: commands and releases come in between, whatever the rate. */
		for (int few = 0; few < BATCH && st->left > 0 && st->next_ns - real_ns() <= SPIN_NS; few++) {
			while (real_ns() < st->next_ns) { }
			for (size_t i = HEADER_BYTES; i < st->bytes; i++) data[i] = (unsigned char)(st->sequence * 31 + i);
			fill_header((struct header *)data, DATA, st->id, st->sequence++, st->bytes);
			((struct header *)data)->flags = htons(st->beginning);
			for (int p = 0; p < st->targets; p++) {
				((struct header *)data)->graph = htonl(st->to[p].graph);
				transmit(st->fd, data, st->bytes, st->to[p].peer);
			}
			stats.generated++;
			st->left--;
			st->next_ns += st->period_ns;
		}
	}
}

static int bound_socket(const char *address, uint16_t at)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(at) };
	int on = 1, bytes = 8 << 20, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, address, &own.sin_addr) != 1) die(address);
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
	if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) die("bind");
	return fd;
}

static char *own_address;

/* fq keeps to the monotonic clock. */
static void open_timed(void)
{
	struct sock_txtime txtime = { .clockid = CLOCK_MONOTONIC };
	timed_fd = bound_socket(own_address, 0);
	if (setsockopt(timed_fd, SOL_SOCKET, SO_TXTIME, &txtime, sizeof txtime) < 0) die("SO_TXTIME");
}

static struct stream *stream_of(uint32_t id, int make)
{
	for (int i = 0; i < MAX_STREAMS; i++)
		if (streams[i].fd && streams[i].id == id) return &streams[i];
	for (int i = 0; make && i < MAX_STREAMS; i++) {
		if (streams[i].fd) continue;
		/* A port of its own: flows are told apart by addresses and ports. */
		streams[i] = (struct stream){ .id = id, .fd = bound_socket(own_address, (uint16_t)(port + 1 + i)) };
		/* Quarters of a second: later than the same stream of a process before, for two hours. */
		streams[i].beginning = (uint16_t)(clock_ns(CLOCK_REALTIME) / 250000000);
		return &streams[i];
	}
	return NULL;
}

static void aim(struct stream *s)
{
	char *word;
	s->targets = 0;
	while ((word = strtok(NULL, " ")) && s->targets < MAX_PEERS) {
		char *graph;
		struct target to = { .peer = (uint32_t)strtoul(word, &graph, 10) };
		if (*graph == ':') to.graph = (uint32_t)strtoul(graph + 1, NULL, 10);
		s->to[s->targets++] = to;
	}
}

static void install(struct graph *g, uint32_t epoch)
{
	struct directive d = { .epoch = epoch };
	char *peer, *mode, *ns;
	while ((peer = strtok(NULL, " ")) && (mode = strtok(NULL, " ")) && (ns = strtok(NULL, " "))) {
		if (!(d.to = realloc(d.to, (size_t)(d.count + 1) * sizeof *d.to))) die("memory");
		d.to[d.count++] = (struct destination){ (uint32_t)strtoul(peer, NULL, 10), *mode, strtoll(ns, NULL, 10) };
	}
	struct directive *place = directive_of(g, epoch);
	if (place && place->epoch != epoch) place = NULL;
	/* The oldest gives way, but never the one that new messages are stamped with. */
	if (!place) do {
		place = &g->kept[g->next];
		g->next = (g->next + 1) % EPOCHS_KEPT;
	} while (g->active && place == directive_of(g, g->active));
	free(place->to);
	*place = d;
}

static void obey(char *line)
{
	char *command = strtok(line, " "), *word[5] = { 0 };
	if (!command) return;
	int wanted = !strcmp(command, "stream") ? 5 : !strcmp(command, "probe") || !strcmp(command, "flow") ? 3 : !strcmp(command, "trace") || !strcmp(command, "clock") || !strcmp(command, "aim") || !strcmp(command, "key") || !strcmp(command, "release") ? 1 : 2;
	for (int i = 0; i < wanted; i++) {
		if (!(word[i] = strtok(NULL, " "))) {
			emit("E incomplete: %s\n", command);
			return;
		}
	}
	uint32_t id = (uint32_t)strtoul(word[0], NULL, 10), epoch = word[1] ? (uint32_t)strtoul(word[1], NULL, 10) : 0;
	if (!strcmp(command, "key")) {
		if (sscanf(word[0], "%16llx%16llx", (unsigned long long *)&key[0], (unsigned long long *)&key[1]) != 2) emit("E not a key\n");
		else keyed = 1;
	} else if (!strcmp(command, "peer") && id < MAX_PEERS) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
		if (inet_pton(AF_INET, word[1], &to.sin_addr) == 1) peers[id] = to;
		if (id >= peer_limit) peer_limit = id + 1;
	} else if (!strcmp(command, "probe") && id < MAX_PEERS) {
		int64_t interval = strtoll(word[1], NULL, 10) * 1000;
		size_t bytes = strtoul(word[2], NULL, 10);
		/* Not all at once: each begins at its own part of the interval. */
		if (interval != probe_interval_ns[id]) probe_next_ns[id] = clock_ns(CLOCK_MONOTONIC) + (interval / 64) * ((id * 37 + self_id * 11) % 64);
		probe_interval_ns[id] = interval;
		probe_bytes[id] = bytes < HEADER_BYTES ? HEADER_BYTES : bytes > MESSAGE_MAX ? MESSAGE_MAX : bytes;
	} else if (!strcmp(command, "graph")) {
		struct graph *g = graph_of(id, 1);
		if (g) {
			install(g, epoch);
			emit("I %u %u\n", id, epoch);
		} else {
			emit("E no room for graph %u\n", id);
		}
	} else if (!strcmp(command, "activate")) {
		struct graph *g = graph_of(id, 0);
		if (g && directive_of(g, epoch)) {
			g->active = epoch;
			enter_waiting();
		} else {
			emit("E cannot activate epoch %u of graph %u: not installed\n", epoch, id);
		}
	} else if (!strcmp(command, "flow")) {
		struct sockaddr_in from = { .sin_port = htons((uint16_t)strtoul(word[1], NULL, 10)) };
		if (inet_pton(AF_INET, word[0], &from.sin_addr) == 1) {
			struct flow *f = flow_of(&from);
			if (!f && flow_count < MAX_FLOWS) f = &flows[flow_count++];
			if (f) *f = (struct flow){ .address = from.sin_addr.s_addr, .port = from.sin_port, .graph = (uint32_t)strtoul(word[2], NULL, 10), .asked = 1 };
			enter_waiting();
		}
	} else if (!strcmp(command, "buffer")) {
		buffer_bytes = strtoull(word[0], NULL, 10);
		early = !strcmp(word[1], "early");
	} else if (!strcmp(command, "stream")) {
		struct stream *s = stream_of(id, 1);
		if (!s) {
			emit("E too many streams\n");
			return;
		}
		s->period_ns = strtoll(word[1], NULL, 10);
		s->left = strtoll(word[2], NULL, 10);
		s->bytes = strtoul(word[3], NULL, 10);
		if (s->bytes < HEADER_BYTES) s->bytes = HEADER_BYTES;
		if (s->bytes > MESSAGE_MAX) s->bytes = MESSAGE_MAX;
		s->next_ns = strtoll(word[4], NULL, 10);
		int64_t now = real_ns();
		if (s->next_ns < now) s->next_ns = now;
		aim(s);
	} else if (!strcmp(command, "aim")) {
		struct stream *s = stream_of(id, 0);
		if (s) aim(s);
	} else if (!strcmp(command, "clock")) {
		clock_error_ns = strtoll(word[0], NULL, 10);
	} else if (!strcmp(command, "release") && !strcmp(word[0], "kernel")) {
		if (timed_fd < 0) count_stamps_anew();
	} else if (!strcmp(command, "trace")) {
		tracing = id != 0;
	} else {
		emit("E unknown command: %s\n", command);
	}
}

/* Returns 0 when whoever commands is gone. */
static int read_commands(void)
{
	static char line[1 << 20];
	static size_t used;
	for (;;) {
		ssize_t n = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
		if (n == 0) return 0;
		if (n < 0) return errno == EAGAIN || errno == EINTR;
		used += (size_t)n;
		char *start = line, *end;
		while ((end = memchr(start, '\n', used - (size_t)(start - line)))) {
			*end = 0;
			obey(start);
			start = end + 1;
		}
		used -= (size_t)(start - line);
		memmove(line, start, used);
		if (used == sizeof line - 1) used = 0;
	}
}

static void report(void)
{
	emit("S {\"uptimeMs\":%lld,\"received\":%llu,\"receivedBytes\":%llu,\"unstamped\":%llu,\"delivered\":%llu,\"replicated\":%llu,\"generated\":%llu,\"probes\":%llu,\"forged\":%llu,\"replayed\":%llu,\"undirected\":%llu,\"stale\":%llu,\"waited\":%llu,\"overflowed\":%llu,\"late\":%llu,\"unsent\":%llu,\"untraced\":%llu,"
		"\"dwellNs\":%llu,\"dwellCount\":%llu,\"elapsedNs\":%llu,\"elapsedCount\":%llu,\"heldBytes\":%zu,\"heldMostBytes\":%llu,\"bufferBytes\":%zu,\"flows\":%d,\"releaseErrorUs\":[",
		(long long)clock_ns(CLOCK_MONOTONIC) / 1000000, (unsigned long long)stats.received, (unsigned long long)stats.received_bytes, (unsigned long long)stats.unstamped, (unsigned long long)stats.delivered, (unsigned long long)stats.replicated, (unsigned long long)stats.generated, (unsigned long long)stats.probes, (unsigned long long)stats.forged, (unsigned long long)stats.replayed,
		(unsigned long long)stats.undirected, (unsigned long long)stats.stale, (unsigned long long)stats.waited, (unsigned long long)stats.overflowed, (unsigned long long)stats.late, (unsigned long long)stats.unsent, (unsigned long long)stats.untraced,
		(unsigned long long)stats.dwell_ns, (unsigned long long)stats.dwell_count, (unsigned long long)stats.elapsed_ns, (unsigned long long)stats.elapsed_count, held_bytes, (unsigned long long)stats.held_most, buffer_bytes, flow_count);
	for (int i = 0; i < ERROR_BUCKETS; i++) emit("%s%llu", i ? "," : "", (unsigned long long)stats.error[i]);
	emit("]}\n");
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int main(int argc, char **argv)
{
	struct sched_param priority = { .sched_priority = 1 };
	if (argc != 5) {
		fprintf(stderr, "usage: packetloop relay|endpoint SELF_ID ADDRESS PORT\n");
		return 2;
	}
	relay = !strcmp(argv[1], "relay");
	self_id = (uint32_t)strtoul(argv[2], NULL, 10);
	probe_number = (uint64_t)clock_ns(CLOCK_REALTIME);
	own_address = argv[3];
	port = (uint16_t)strtoul(argv[4], NULL, 10);
	data_fd = bound_socket(own_address, port);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20);
	prctl(PR_SET_TIMERSLACK, 1);
	mlockall(MCL_CURRENT);
	sched_setscheduler(0, SCHED_RR, &priority);
	emit("ready\n");

	int64_t flush_ns = clock_ns(CLOCK_MONOTONIC) + FLUSH_NS, report_ns = flush_ns;
	for (;;) {
		release_due();
		generate();
		int64_t now = clock_ns(CLOCK_MONOTONIC), next;
		send_probes(now);
		if (now >= flush_ns) {
			flush_records();
			flush_ns = now + FLUSH_NS;
		}
		if (now >= report_ns) {
			report();
			report_ns = now + STATISTICS_NS;
		}
		drain();
		next = sooner(flush_ns, report_ns);
		if (heap_size > 0) next = sooner(next, heap[0].release_ns - lead_ns());
		for (uint32_t p = 0; p < peer_limit; p++) if (probe_interval_ns[p]) next = sooner(next, probe_next_ns[p]);
		int64_t offset = real_ns() - clock_ns(CLOCK_MONOTONIC);
		for (int s = 0; s < MAX_STREAMS; s++) if (streams[s].left > 0) next = sooner(next, streams[s].next_ns - offset - SPIN_NS);
		int64_t wait = next - clock_ns(CLOCK_MONOTONIC);
		if (wait < 0) wait = 0;
		struct timespec timeout = { wait / 1000000000LL, wait % 1000000000LL };
		/* Stamps are in the error queue of the socket: no event to ask for. */
		struct pollfd fds[3] = { { .fd = data_fd, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = timed_fd } };
		if (ppoll(fds, 3, &timeout, NULL) < 0 && errno != EINTR) die("ppoll");
		if (fds[2].revents & POLLERR) read_stamps();
		if (fds[0].revents & POLLIN) receive();
		if (fds[1].revents && !read_commands()) break;
	}
	if (timed_fd >= 0) read_stamps();
	flush_records();
	report();
	fcntl(STDOUT_FILENO, F_SETFL, 0);
	drain();
	return 0;
}
