/*
 * ain: loads the fast path of an action implementation node (action.bpf.c) into the kernel of its network namespace, and
 * goes to decision master nodes (DMNs) with what misses its cache (R1 section 2, E1 to E6). It decides nothing, and keeps no
 * packet: a packet that misses goes to a DMN as it is, and comes back after its action.
 *
 * usage: ain
 *
 * Commands, one a line, each answered with "ok" or "E why", in their order:
 *   settings NUMBER KEY PORT IDLE_MS VERIFY_MS RATE BURST    own number; key of the cell, hexadecimal; own UDP port
 *   attach DEVICE                                            the device of the hub's network
 *   branch MAC NETWORK GATEWAY | unbranch MAC                a client VNI: its address here, its network's, its gateway's
 *   peer MAC                                                 another AIN of the cell
 *   dmn NUMBER ADDRESS PORT | nodmn NUMBER                   one that is asked; not any more, but what it still answers is heard
 *   domain NUMBER GENERATION                                 actions that follow from older metadata rule no more
 *   action FLOW OPERATIONS                                   an action as a DMN would send it, hexadecimal
 *   flush                                                    forgets all actions
 *   forget AIN                                               forgets those that hand packets to this AIN
 *   counters | tally NETWORK | dump                          answered with JSON
 *   run COUNT HEX                                            runs the program on a frame: "ok ACTION NANOSECONDS HEX"
 *   detach
 * At the end of stdin the program stays in the kernel, and cached flows go on: whoever commanded may have died.
 *
 * Messages to and from DMNs (decision/wire.ts): u8 'H', u8 type, u8 tries, u8 0, u32 sender, u64 session, u64 number, payload, 16
 * bytes of HMAC-SHA-256. The session is random, the number counts queries; an answer repeats both, and is heard once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "action.h"
#include "commands.h"
#include "flow.h"
#include "operations.h"
#include "workers.h"

enum { QUERY = 1, ACTION, PACKET, PROBE, PROBED };
enum { HEADER_BYTES = 24, TAG_BYTES = 16, FLOW_BYTES = sizeof(struct flow), MAX_FRAME = 9216, MAX_MESSAGE = MAX_FRAME + 256 };
enum { MAX_MESSAGES_A_TURN = 64, MAX_DMNS = 32, WINDOW = 4096, MAX_ACTION_BYTES = 4096, REASSEMBLIES = 64, MAX_TRIES = 3 };
/* A DMN that answers none of so many probes in a row is asked no more until it answers one. */
enum { PROBE_MS = 100, MISSED_PROBES = 3 };
/* Switches forget addresses after minutes. */
enum { ANNOUNCE_PROBES = 100 };
static struct { unsigned int number; unsigned char key[32]; } self;
static struct settings settings;
static uint64_t session, asked, probe_round;
/* Least generations of domains, and the highest of them. */
static unsigned int generations[MAX_DOMAINS], newest;
static int tap_fd = -1, wire_fd = -1;

static struct dmn { unsigned int number, missed; int known, used; struct sockaddr_in address; uint64_t version; } dmns[MAX_DMNS];

/* Answers that have been heard, of the last WINDOW queries, by kind. Queries are numbered from 1. */
static uint64_t heard[2][WINDOW];

/* Actions and packets of several segments, as far as they have come. */
static struct partial { uint64_t number; unsigned int total, got; unsigned char bytes[MAX_FRAME]; } partials[2][REASSEMBLIES];

#define COUNTERS(X) X(queries) X(answers) X(installed) X(returned) X(repeated) X(undecided) X(forged) X(stale) X(malformed) X(segments) X(probes) X(unasked)
#define NAME(c) COUNT_##c,
enum { COUNTERS(NAME) COUNT_NUMBER };
static unsigned long long counts[COUNT_NUMBER];

static uint64_t now_monotonic(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void tag_of(const unsigned char *message, size_t length, unsigned char tag[TAG_BYTES])
{
	unsigned char full[32];
	unsigned int size = sizeof full;
	HMAC(EVP_sha256(), self.key, sizeof self.key, message, length, full, &size);
	memcpy(tag, full, TAG_BYTES);
}

/* Builds the header before `length` bytes of payload, and the tag after it. */
static void send_message(const struct dmn *to, unsigned char type, unsigned char tries, uint64_t number, unsigned char *message, size_t length)
{
	message[0] = 'H';
	message[1] = type;
	message[2] = tries;
	message[3] = 0;
	put32(message + 4, self.number);
	put64(message + 8, session);
	put64(message + 16, number);
	tag_of(message, HEADER_BYTES + length, message + HEADER_BYTES + length);
	if (sendto(wire_fd, message, HEADER_BYTES + length + TAG_BYTES, 0, (const struct sockaddr *)&to->address, sizeof to->address) < 0) counts[COUNT_unasked]++;
}

/*
 * By the flow, of those that answer probes and follow the metadata that rules here (if there are none, of all that answer): the one
 * with the highest weight, so that a loss moves only its own flows.
 */
static const struct dmn *dmn_for(const struct flow *f)
{
	const struct dmn *best = NULL;
	uint32_t most = 0, h = hash_flow(f);
	int fresh = 0;
	for (int i = 0; i < MAX_DMNS; i++) fresh |= dmns[i].used && dmns[i].missed < MISSED_PROBES && dmns[i].version >= newest;
	for (int i = 0; i < MAX_DMNS; i++) {
		const struct dmn *d = &dmns[i];
		if (!d->used || d->missed >= MISSED_PROBES || (fresh && d->version < newest)) continue;
		uint32_t weight = (h ^ (d->number * 2654435769u)) * 2246822519u;
		weight ^= weight >> 15;
		if (!best || weight > most) best = d, most = weight;
	}
	return best;
}

/* E1, E2: the packet is the query. */
static void ask(const unsigned char *frame, size_t length, uint32_t network, unsigned char tries)
{
	static unsigned char message[MAX_MESSAGE];
	struct flow f;
	if (length < 14 || !flow_of(frame + 14, length - 14, network, &f)) return;
	const struct dmn *dmn = dmn_for(&f);
	if (!dmn) {
		counts[COUNT_unasked]++;
		return;
	}
	memcpy(message + HEADER_BYTES, &f, FLOW_BYTES);
	memcpy(message + HEADER_BYTES + FLOW_BYTES, frame + 14, length - 14);
	counts[COUNT_queries]++;
	send_message(dmn, QUERY, tries, ++asked, message, FLOW_BYTES + length - 14);
}

static void missed(void)
{
	static unsigned char frame[MAX_FRAME];
	for (int turn = 0; turn < MAX_MESSAGES_A_TURN; turn++) {
		ssize_t length = read(tap_fd, frame, sizeof frame);
		if (length <= 14) return;
		const struct branch *b = branch_at(frame);
		if (b) ask(frame, (size_t)length, b->network, 0);
	}
}

/* An answer is heard once, and only to a query that was asked not long ago. `kind` 0: action, 1: packet. */
static int is_new(int kind, uint64_t number)
{
	return number > 0 && number <= asked && asked - number < WINDOW && heard[kind][number % WINDOW] != number;
}

static void mark(int kind, uint64_t number)
{
	heard[kind][number % WINDOW] = number;
}

/* E4, E5. -1: it is no action that this AIN may execute. */
static int install(const struct flow *f, const unsigned char *ops, size_t length)
{
	struct action a;
	struct group g = { 0 };
	struct told t = { 0 };
	if (compile_action(f, ops, length, &a, &g, &t) < 0) {
		counts[COUNT_malformed]++;
		return errno = EINVAL, refuse("action");
	}
	a.made_ns = a.used_ns = now_monotonic();
	for (unsigned int i = 0; i < t.count; i++) {
		t.values[i].made_ns = a.made_ns;
		if (bpf_map_update_elem(map("sights"), &t.keys[i], &t.values[i], BPF_ANY) < 0) return refuse("sights");
	}
	if (a.replicas && bpf_map_update_elem(map("groups"), f, &g, BPF_ANY) < 0) return refuse("groups");
	if (bpf_map_update_elem(map("actions"), f, &a, BPF_ANY) < 0) return refuse("actions");
	counts[COUNT_installed]++;
	return 0;
}

/*
 * payload: flow, u16 bytes in all, u16 offset, bytes. The bytes of the whole, once all parts have come in their order (they have one
 * pair of ports, so that no processor overtakes another); NULL before. What was lost is asked for again.
 */
static const unsigned char *collect(int kind, uint64_t number, const unsigned char *payload, size_t length, size_t most, size_t *whole)
{
	const unsigned char *bytes = payload + FLOW_BYTES + 4;
	if (length < FLOW_BYTES + 4) {
		counts[COUNT_malformed]++;
		return NULL;
	}
	unsigned int total = get16(payload + FLOW_BYTES), offset = get16(payload + FLOW_BYTES + 2);
	size_t size = length - FLOW_BYTES - 4;
	if (total > most || offset + size > total || size == 0) {
		counts[COUNT_malformed]++;
		return NULL;
	}
	*whole = total;
	if (size < total) {
		counts[COUNT_segments]++;
		struct partial *p = &partials[kind][number % REASSEMBLIES];
		if (offset == 0) p->number = number, p->total = total, p->got = 0;
		if (p->number != number || p->total != total || p->got != offset) return NULL;
		memcpy(p->bytes + offset, bytes, size);
		p->got += (unsigned int)size;
		if (p->got < total) return NULL;
		bytes = p->bytes;
	}
	mark(kind, number);
	return bytes;
}

static void hear_action(uint64_t number, const unsigned char *payload, size_t length)
{
	struct flow f;
	size_t total;
	const unsigned char *ops = collect(0, number, payload, length, MAX_ACTION_BYTES, &total);
	if (!ops) return;
	memcpy(&f, payload, FLOW_BYTES);
	install(&f, ops, total);
}

/* As the program in the kernel sees it: of metadata that rules, verified and used not long ago. */
static int is_valid(const struct action *a)
{
	uint64_t now = now_monotonic();
	if (a->generation < generations[a->domain % MAX_DOMAINS]) return 0;
	return now - a->made_ns < settings.verify_ns && now - a->used_ns < settings.idle_ns;
}

/* E6: the packet finds its action cached. */
static void hear_packet(uint64_t number, unsigned char tries, const unsigned char *payload, size_t length)
{
	static unsigned char frame[MAX_FRAME];
	struct flow f;
	struct action a;
	const unsigned char *packet = collect(1, number, payload, length, sizeof frame - 14, &length);
	if (!packet) return;
	memcpy(&f, payload, FLOW_BYTES);
	const struct branch *b = NULL;
	for (unsigned int i = 0; i < branch_count && !b; i++) if (branches[i].network == f.network) b = &branches[i];
	if (!b) return;
	memcpy(frame, b->address, 6);
	memcpy(frame + 6, b->gateway, 6);
	frame[12] = f.family == 4 ? 0x08 : 0x86;
	frame[13] = f.family == 4 ? 0x00 : 0xdd;
	memcpy(frame + 14, packet, length);
	if (bpf_map_lookup_elem(map("actions"), &f, &a) < 0 || !is_valid(&a)) {
		/* The action was lost, pushed out, or of older metadata: the packet is the query once more. */
		if (tries + 1 >= MAX_TRIES) {
			counts[COUNT_undecided]++;
			return;
		}
		counts[COUNT_repeated]++;
		ask(frame, length + 14, f.network, (unsigned char)(tries + 1));
		return;
	}
	counts[COUNT_returned]++;
	if (write(tap_fd, frame, length + 14) < 0) counts[COUNT_undecided]++;
}

static struct dmn *dmn_of(unsigned int number)
{
	for (int i = 0; i < MAX_DMNS; i++) if (dmns[i].known && dmns[i].number == number) return &dmns[i];
	return NULL;
}

static void hear(void)
{
	static unsigned char message[MAX_MESSAGE];
	/* A turn each: a flood of messages keeps neither commands nor probes from their turn. */
	for (int turn = 0; turn < MAX_MESSAGES_A_TURN; turn++) {
		unsigned char tag[TAG_BYTES];
		struct sockaddr_in from;
		socklen_t from_length = sizeof from;
		ssize_t got = recvfrom(wire_fd, message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
		if (got < 0) return;
		size_t length = (size_t)got;
		if (length < HEADER_BYTES + TAG_BYTES || message[0] != 'H') {
			counts[COUNT_forged]++;
			continue;
		}
		length -= TAG_BYTES;
		struct dmn *dmn = dmn_of(get32(message + 4));
		if (!dmn || dmn->address.sin_addr.s_addr != from.sin_addr.s_addr) {
			counts[COUNT_forged]++;
			continue;
		}
		tag_of(message, length, tag);
		if (CRYPTO_memcmp(tag, message + length, TAG_BYTES)) {
			counts[COUNT_forged]++;
			continue;
		}
		uint64_t number = get64(message + 16);
		const unsigned char *payload = message + HEADER_BYTES;
		size_t size = length - HEADER_BYTES;
		if (get64(message + 8) != session) {
			counts[COUNT_stale]++;
			continue;
		}
		switch (message[1]) {
		case ACTION:
			if (!is_new(0, number)) counts[COUNT_stale]++;
			else hear_action(number, payload, size);
			break;
		case PACKET:
			counts[COUNT_answers]++;
			if (!is_new(1, number)) counts[COUNT_stale]++;
			else hear_packet(number, message[2], payload, size);
			break;
		case PROBED:
			/* Only the answer to the last probe, or the one before it, says that the DMN is there. */
			if (size != 8 || number + 1 < probe_round || number > probe_round) break;
			dmn->missed = 0;
			dmn->version = get64(payload);
			break;
		default:
			counts[COUNT_malformed]++;
		}
	}
}

static void probe(void)
{
	unsigned char message[HEADER_BYTES + TAG_BYTES];
	if (probe_round++ % ANNOUNCE_PROBES == 0) for (unsigned int i = 0; i < branch_count; i++) announce(settings.hub, &branches[i]);
	for (int i = 0; i < MAX_DMNS; i++) {
		if (!dmns[i].used) continue;
		if (dmns[i].missed < MISSED_PROBES) dmns[i].missed++;
		counts[COUNT_probes]++;
		send_message(&dmns[i], PROBE, 0, probe_round, message, 0);
	}
}

static int open_wire(unsigned short port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int never = IP_PMTUDISC_DONT, room = 4 << 20;
	wire_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (wire_fd < 0) return refuse("socket");
	/* A query is longer than the packet in it: it is fragmented, so that packets of full size have queries too. */
	setsockopt(wire_fd, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof never);
	setsockopt(wire_fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	return bind(wire_fd, (struct sockaddr *)&any, sizeof any) < 0 ? refuse("port") : 0;
}

/* A device of this process, up; its number. *fd: what is sent to it can be read there. */
static int open_tap(const char *name, int *fd)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	*fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0 || ioctl(*fd, TUNSETIFF, &request) < 0) return refuse(name);
	int any = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq up = request;
	up.ifr_mtu = MAX_FRAME - 14;
	int failed = ioctl(any, SIOCSIFMTU, &up) < 0;
	up = request;
	failed = failed || ioctl(any, SIOCGIFFLAGS, &up) < 0;
	up.ifr_flags |= IFF_UP | IFF_NOARP;
	failed = failed || ioctl(any, SIOCSIFFLAGS, &up) < 0;
	close(any);
	return failed ? refuse(name) : (int)if_nametoindex(name);
}

static int open_misses(void)
{
	int device = open_tap("misses", &tap_fd);
	settings.misses = (unsigned int)device;
	return device < 0 ? -1 : 0;
}

/* Nobody reads what is sent to them; packets come by them, of another worker. */
static int open_workers(void)
{
	for (int i = 0; i < worker_count(); i++) {
		char name[IFNAMSIZ];
		int unread, device;
		worker_name(i, name);
		if ((device = open_tap(name, &unread)) < 0 || attach_program(name, "hub_in", INCOMING) < 0) return -1;
		settings.workers[i] = settings.last_worker = (unsigned int)device;
	}
	return lead_to_workers() < 0 ? refuse("workers") : 0;
}

static int put_settings(void)
{
	unsigned int zero = 0;
	return set_entry("configuration", &zero, &settings, 1);
}

static int bytes_of(const char *hex, unsigned char *to, size_t most)
{
	size_t length = strlen(hex) / 2;
	if (length > most) return errno = E2BIG, refuse("bytes");
	for (size_t i = 0; i < length; i++) if (sscanf(hex + 2 * i, "%2hhx", &to[i]) != 1) return errno = EINVAL, refuse("bytes");
	return (int)length;
}

static int configure(char **w)
{
	self.number = (unsigned int)strtoul(w[0], NULL, 10);
	if (bytes_of(w[1], self.key, sizeof self.key) != sizeof self.key) return errno = EINVAL, refuse("key");
	settings.idle_ns = strtoull(w[3], NULL, 10) * 1000000;
	settings.verify_ns = strtoull(w[4], NULL, 10) * 1000000;
	settings.miss_rate = (unsigned int)strtoul(w[5], NULL, 10);
	settings.miss_burst = (unsigned int)strtoul(w[6], NULL, 10);
	if (wire_fd < 0 && (open_wire((unsigned short)strtoul(w[2], NULL, 10)) < 0 || open_misses() < 0)) return -1;
	return put_settings();
}

static int attach(const char *device)
{
	struct ifreq request = { 0 };
	settings.hub = if_nametoindex(device);
	if (!settings.hub) return refuse(device);
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int failed = ioctl(fd, SIOCGIFHWADDR, &request) < 0;
	memcpy(own_address, request.ifr_hwaddr.sa_data, 6);
	/* Branches have addresses of their own, which a NIC would not let through. */
	failed = failed || ioctl(fd, SIOCGIFFLAGS, &request) < 0;
	request.ifr_flags |= IFF_PROMISC;
	failed = failed || ioctl(fd, SIOCSIFFLAGS, &request) < 0;
	close(fd);
	if (failed) return refuse(device);
	if (worker_count() > 1 && open_workers() < 0) return -1;
	return put_settings() < 0 || attach_program("misses", "hub_in", INCOMING) < 0 || attach_program(device, "hub_in", INCOMING) < 0 ? -1 : 0;
}

static int add_peer(const char *text)
{
	unsigned char address[6];
	return mac_of(text, address) < 0 ? -1 : set_entry("peers", address, &(unsigned int){ 1 }, 1);
}

static int add_dmn(char **w)
{
	unsigned int number = (unsigned int)strtoul(w[0], NULL, 10);
	struct dmn *d = dmn_of(number);
	for (int i = 0; i < MAX_DMNS && !d; i++) if (!dmns[i].known) d = &dmns[i];
	if (!d) return errno = ERANGE, refuse("dmn");
	*d = (struct dmn){ .known = 1, .used = 1, .number = number, .address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)strtoul(w[2], NULL, 10)) } };
	if (inet_pton(AF_INET, w[1], &d->address.sin_addr) != 1) return d->known = d->used = 0, errno = EINVAL, refuse(w[1]);
	return 0;
}

static int remove_dmn(const char *text)
{
	struct dmn *d = dmn_of((unsigned int)strtoul(text, NULL, 10));
	if (d) d->used = 0;
	return 0;
}

static int set_domain(char **w)
{
	unsigned int domain = (unsigned int)strtoul(w[0], NULL, 10), generation = (unsigned int)strtoul(w[1], NULL, 10);
	if (domain >= MAX_DOMAINS) return errno = ERANGE, refuse("domain");
	generations[domain] = generation;
	if (generation > newest) newest = generation;
	return set_entry("domains", &domain, &generation, 1);
}

static int put_action(char **w)
{
	struct flow f;
	unsigned char ops[MAX_ACTION_BYTES];
	int length = bytes_of(w[1], ops, sizeof ops);
	if (length < 0 || bytes_of(w[0], (unsigned char *)&f, sizeof f) != sizeof f) return errno = EINVAL, refuse("action");
	return install(&f, ops, (size_t)length);
}

/* Does the flow's action hand a packet, or a copy, to a branch of this AIN? A branch's address begins with "hu" and its number (model.ts). */
static int hands_to(const struct flow *f, unsigned char ain)
{
	const unsigned char branch[4] = { 0x02, 0x68, 0x75, ain };
	struct action a;
	struct group g;
	if (bpf_map_lookup_elem(map("actions"), f, &a) < 0) return 0;
	if (!memcmp(a.output.to, branch, sizeof branch)) return 1;
	if (!a.replicas || bpf_map_lookup_elem(map("groups"), f, &g) < 0) return 0;
	for (int i = 0; i < a.replicas && i < MAX_REPLICAS; i++) if (!memcmp(g.copies[i].output.to, branch, sizeof branch)) return 1;
	return 0;
}

/* Actions that hand packets to an AIN. 0: all. */
static int forget(unsigned int ain)
{
	struct flow key, next;
	int fd = map("actions"), more = bpf_map_get_next_key(fd, NULL, &next) == 0;
	while (more) {
		key = next;
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (ain && !hands_to(&key, (unsigned char)ain)) continue;
		bpf_map_delete_elem(fd, &key);
	}
	return 0;
}

static void own_counters(void)
{
	static const char *const names[] = {
#define TEXT(c) #c,
		COUNTERS(TEXT)
	};
	unsigned int alive = 0;
	for (int i = 0; i < MAX_DMNS; i++) alive += dmns[i].used && dmns[i].missed < MISSED_PROBES;
	printf("{\"dmnsAlive\":%u", alive);
	for (unsigned int i = 0; i < COUNT_NUMBER; i++) printf(",\"%s\":%llu", names[i], counts[i]);
	printf("}\n");
}

static void tally_of(unsigned int network)
{
	static const char *const names[] = {
#define TALLY_TEXT(t) #t,
		TALLIES(TALLY_TEXT)
	};
	print_counters("tallies", (network & (MAX_NETWORKS - 1)) * TALLY_NUMBER, names, TALLY_NUMBER);
}

/* Health of DMNs, and how fresh what they follow is (R1-15, R1-22). */
static void dump(void)
{
	const char *between = "";
	printf("[");
	for (int i = 0; i < MAX_DMNS; i++) {
		if (!dmns[i].used) continue;
		printf("%s{\"dmn\":%u,\"alive\":%s,\"version\":%llu}", between, dmns[i].number, dmns[i].missed < MISSED_PROBES ? "true" : "false", (unsigned long long)dmns[i].version);
		between = ",";
	}
	printf("]\n");
}

static int obey(char *line, int *answered)
{
	static const struct command known[] = { { "settings", 7 }, { "attach", 1 }, { "branch", 3 }, { "unbranch", 1 }, { "peer", 1 }, { "dmn", 3 }, { "nodmn", 1 }, { "domain", 2 }, { "flush", 0 }, { "counters", 0 }, { "tally", 1 }, { "dump", 0 }, { "run", 2 }, { "action", 2 }, { "forget", 1 }, { "detach", 0 } };
	char *w[8] = { 0 };
	switch (read_command(line, known, sizeof known / sizeof *known, w)) {
	case -1: return -1;
	case 0: return configure(w);
	case 1: return attach(w[0]);
	case 2: return add_branch(settings.hub, w);
	case 3: return remove_branch(w[0]);
	case 4: return add_peer(w[0]);
	case 5: return add_dmn(w);
	case 6: return remove_dmn(w[0]);
	case 7: return set_domain(w);
	case 8: return forget(0);
	case 9: own_counters(); *answered = 1; return 0;
	case 10: tally_of((unsigned int)strtoul(w[0], NULL, 10)); *answered = 1; return 0;
	case 11: dump(); *answered = 1; return 0;
	case 12: if (run_program("hub_in", w[0], w[1]) < 0) return -1; *answered = 1; return 0;
	case 13: return put_action(w);
	case 14: return forget((unsigned int)strtoul(w[0], NULL, 10));
	default: detach_programs(); return 0;
	}
}

/* Whole lines of what has come on stdin. 0: it has ended. */
static int commands(void)
{
	static char text[65536];
	static size_t length;
	ssize_t got = read(STDIN_FILENO, text + length, sizeof text - 1 - length);
	if (got <= 0) return 0;
	length += (size_t)got;
	text[length] = 0;
	char *line = text, *end;
	while ((end = strchr(line, '\n'))) {
		int answered = 0;
		*end = 0;
		if (obey(line, &answered) < 0) printf("E %s\n", why);
		else if (!answered) printf("ok\n");
		line = end + 1;
	}
	fflush(stdout);
	length -= (size_t)(line - text);
	memmove(text, line, length);
	/* A line that fills the buffer is none of ours. */
	return length < sizeof text - 1;
}

/* usage: ain [ACTIONS]: so many flows are remembered. */
int main(int argc, char **argv)
{
	unsigned int actions = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : DEFAULT_ACTIONS;
	uint64_t probed = 0;
	signal(SIGPIPE, SIG_IGN);
	if (getrandom(&session, sizeof session, 0) != sizeof session || load_programs("action", "actions", actions) < 0) {
		fprintf(stderr, "ain: %s\n", why);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd ready[] = { { STDIN_FILENO, POLLIN, 0 }, { tap_fd, POLLIN, 0 }, { wire_fd, POLLIN, 0 } };
		if (poll(ready, 3, PROBE_MS) < 0 && errno != EINTR) return 1;
		if (ready[1].revents & POLLIN) missed();
		if (ready[2].revents & POLLIN) hear();
		if (ready[0].revents && !commands()) return 0;
		uint64_t now = now_monotonic();
		if (wire_fd >= 0 && now - probed >= PROBE_MS * 1000000ULL) {
			probe();
			probed = now;
		}
	}
}
