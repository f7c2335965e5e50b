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
 *   flush                                                    forgets all actions, and what it knows of names
 *   forget AIN                                               forgets those that hand packets to this AIN
 *   counters | tally NETWORK | dump                          answered with JSON
 *   run COUNT HEX                                            runs the program on a frame: "ok ACTION NANOSECONDS HEX"
 *   detach
 * At the end of stdin the program stays in the kernel, and cached flows go on: whoever commanded may have died.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include "commands.h"
#include "queries.h"
#include "workers.h"

enum { PROBE_MS = 100 };
/* Switches forget addresses after minutes. */
enum { ANNOUNCE_PROBES = 100 };

static void probe(void)
{
	if (probe_round % ANNOUNCE_PROBES == 0) for (unsigned int i = 0; i < branch_count; i++) announce(settings.hub, &branches[i]);
	probe_dmns();
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

/*
 * Nobody reads what is sent to them; packets come by them, of another worker. Flows of one that cannot be led to are executed where
 * they come.
 */
static int open_workers(void)
{
	for (int i = 0; i < worker_count(); i++) {
		char name[IFNAMSIZ];
		int unread, device;
		worker_name(i, name);
		if ((device = open_tap(name, &unread)) < 0 || attach_program(name, "hub_in", INCOMING) < 0) return -1;
		settings.last_worker = (unsigned int)device;
		if (i == 0) settings.first_worker = (unsigned int)device;
		if (lead_to_worker(name, i) == 0) settings.workers[i] = (unsigned int)device;
	}
	return 0;
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

/* Entries of a map whose keys have `size` bytes: of actions those that hand packets to an AIN; 0: all. */
static void clear(const char *name, size_t size, unsigned char ain)
{
	struct flow key, next;
	int fd = map(name), more = bpf_map_get_next_key(fd, NULL, &next) == 0;
	while (more) {
		memcpy(&key, &next, size);
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (!ain || hands_to(&key, ain)) bpf_map_delete_elem(fd, &key);
	}
}

static void forget_all(void)
{
	clear("actions", sizeof(struct flow), 0);
	clear("sights", sizeof(struct looked_at), 0);
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
	case 8: forget_all(); return 0;
	case 9: own_counters(); *answered = 1; return 0;
	case 10: tally_of((unsigned int)strtoul(w[0], NULL, 10)); *answered = 1; return 0;
	case 11: dump(); *answered = 1; return 0;
	case 12: if (run_program("hub_in", w[0], w[1]) < 0) return -1; *answered = 1; return 0;
	case 13: return put_action(w);
	case 14: clear("actions", sizeof(struct flow), (unsigned char)strtoul(w[0], NULL, 10)); return 0;
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
