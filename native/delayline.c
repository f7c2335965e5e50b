/*
 * delayline: delay, jitter and loss for links on kernels without netem.
 *
 * Written by hand because nothing packaged fits: vde2's wirefilter keeps time in
 * milliseconds, mahimahi in milliseconds over TUN; tc can only queue, not delay.
 *
 * Frames are taken from one interface (AF_PACKET), kept until kernel receive
 * stamp + delay (± jitter, order kept), and sent through another, whose egress
 * qdisc (HTB) does the shaping. One thread; sleeps in ppoll, real-time priority.
 *
 * usage: delayline SOCKET < config     config: one direction a line,
 *        IN OUT DELAY_US JITTER_US LOSS_PPM
 *        delayline set SOCKET < changes  changes: lines of the same form
 * Daemonizes once every socket is open, so that its exit status 0 means ready.
 * A change holds for frames that arrive after it; those on the way keep their order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DIRECTIONS = 512, BATCH = 32, FRAME_MAX = 65536 };
static const size_t HELD_MAX_BYTES = 64u << 20;

struct frame {
	struct frame *next;
	int64_t release_ns; /* CLOCK_MONOTONIC */
	size_t len;
	unsigned char data[];
};

struct direction {
	char in_name[32], out_name[32];
	int in, out;
	int64_t delay_ns, jitter_ns, last_release_ns;
	uint32_t loss_ppm;
	struct frame *head, **tail;
	size_t held_bytes;
};

static struct direction dirs[MAX_DIRECTIONS];
static int ndirs;
static uint64_t rng_state;

static void die(const char *what, const char *which)
{
	fprintf(stderr, "delayline: %s %s: %s\n", what, which, strerror(errno));
	exit(1);
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* xorshift64*: independent, uniform, cheap. */
static uint32_t random32(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 2685821657736338717ULL) >> 32);
}

static int packet_socket(const char *ifname, int protocol)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	int bytes = 16 << 20, on = 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	if (fd < 0) die("socket", ifname);
	addr.sll_ifindex = (int)if_nametoindex(ifname);
	if (!addr.sll_ifindex) die("interface", ifname);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die("bind", ifname);
	return fd;
}

static void hold(struct direction *d, const unsigned char *data, size_t len, int64_t received_ns)
{
	struct frame *f;
	int64_t release;
	if (d->loss_ppm && random32() % 1000000 < d->loss_ppm) return;
	if (d->held_bytes + len > HELD_MAX_BYTES || !(f = malloc(sizeof *f + len))) return;
	release = received_ns + d->delay_ns;
	if (d->jitter_ns) release += (int64_t)(random32() % (uint64_t)(2 * d->jitter_ns)) - d->jitter_ns;
	if (release < d->last_release_ns) release = d->last_release_ns;
	d->last_release_ns = release;
	*f = (struct frame){ .release_ns = release, .len = len };
	memcpy(f->data, data, len);
	*d->tail = f;
	d->tail = &f->next;
	d->held_bytes += len;
}

static void receive(struct direction *d)
{
	static unsigned char buffers[BATCH][FRAME_MAX];
	static char control[BATCH][128];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;
	do {
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buffers[i], FRAME_MAX };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i] };
		}
		n = recvmmsg(d->in, msgs, BATCH, MSG_DONTWAIT, NULL);
		int64_t mono = clock_ns(CLOCK_MONOTONIC), real = clock_ns(CLOCK_REALTIME);
		for (int i = 0; i < n; i++) {
			int64_t age = 0;
			for (struct cmsghdr *c = CMSG_FIRSTHDR(&msgs[i].msg_hdr); c; c = CMSG_NXTHDR(&msgs[i].msg_hdr, c)) {
				if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
					struct timespec t;
					memcpy(&t, CMSG_DATA(c), sizeof t);
					age = real - (t.tv_sec * 1000000000LL + t.tv_nsec);
				}
			}
			if (age < 0 || age > 1000000000LL) age = 0; /* the clock was stepped */
			hold(d, buffers[i], msgs[i].msg_len, mono - age);
		}
	} while (n == BATCH);
}

/* Sends what is due; returns the next release time, or INT64_MAX. */
static int64_t release(struct direction *d, int64_t now)
{
	while (d->head && d->head->release_ns <= now) {
		struct frame *f = d->head;
		/* A full egress queue drops, as a switch does. */
		if (send(d->out, f->data, f->len, 0) < 0 && errno == EINTR) continue;
		d->head = f->next;
		if (!d->head) d->tail = &d->head;
		d->held_bytes -= f->len;
		free(f);
	}
	return d->head ? d->head->release_ns : INT64_MAX;
}

/* IN OUT DELAY_US JITTER_US LOSS_PPM; false: not such a line. */
static int parse(const char *line, struct direction *d)
{
	double delay_us, jitter_us;
	if (sscanf(line, "%31s %31s %lf %lf %u", d->in_name, d->out_name, &delay_us, &jitter_us, &d->loss_ppm) != 5) return 0;
	d->delay_ns = (int64_t)(delay_us * 1000);
	d->jitter_ns = (int64_t)(jitter_us * 1000);
	return 1;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof addr.sun_path) die("too long", path);
	strcpy(addr.sun_path, path);
	return addr;
}

static int control_socket(const char *path)
{
	struct sockaddr_un addr = address_of(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	umask(0077);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die("control socket", path);
	return fd;
}

/* One change a datagram, answered with "ok" or "none". */
static void control(int fd)
{
	char line[256];
	struct sockaddr_un from;
	struct direction change;
	for (;;) {
		socklen_t fromlen = sizeof from;
		ssize_t n = recvfrom(fd, line, sizeof line - 1, 0, (struct sockaddr *)&from, &fromlen);
		const char *answer = "none";
		if (n < 0) return;
		line[n] = 0;
		if (parse(line, &change)) {
			for (int i = 0; i < ndirs; i++) {
				if (strcmp(dirs[i].in_name, change.in_name) || strcmp(dirs[i].out_name, change.out_name)) continue;
				dirs[i].delay_ns = change.delay_ns;
				dirs[i].jitter_ns = change.jitter_ns;
				dirs[i].loss_ppm = change.loss_ppm;
				answer = "ok";
			}
		}
		sendto(fd, answer, strlen(answer), 0, (struct sockaddr *)&from, fromlen);
	}
}

static int set(const char *path)
{
	struct sockaddr_un addr = address_of(path), own = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 5 };
	char line[256], answer[8] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	/* Autobind (unix(7)): an address to be answered at. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own.sun_family) < 0) die("socket", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die("connect", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	while (fgets(line, sizeof line, stdin)) {
		if (send(fd, line, strlen(line), 0) < 0) die("send", path);
		if (recv(fd, answer, sizeof answer - 1, 0) < 0) die("no answer of", path);
		if (strncmp(answer, "ok", 2)) return fprintf(stderr, "delayline: no such direction: %s", line), 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct pollfd fds[MAX_DIRECTIONS + 1];
	struct sched_param prio = { .sched_priority = 1 };
	char line[256];
	int commands;

	if (argc == 3 && !strcmp(argv[1], "set")) return set(argv[2]);
	if (argc != 2) return fprintf(stderr, "usage: delayline [set] SOCKET\n"), 2;
	while (fgets(line, sizeof line, stdin)) {
		struct direction *d = &dirs[ndirs];
		if (ndirs == MAX_DIRECTIONS) return fprintf(stderr, "delayline: more than %d directions\n", MAX_DIRECTIONS), 1;
		if (!parse(line, d)) return fprintf(stderr, "delayline: cannot read: %s", line), 1;
		d->tail = &d->head;
		d->in = packet_socket(d->in_name, ETH_P_ALL);
		d->out = packet_socket(d->out_name, 0);
		fds[ndirs++] = (struct pollfd){ .fd = d->in, .events = POLLIN };
	}
	commands = control_socket(argv[1]);
	fds[ndirs] = (struct pollfd){ .fd = commands, .events = POLLIN };
	if (daemon(1, 0) < 0) die("daemon", "");

	rng_state = (uint64_t)clock_ns(CLOCK_REALTIME) ^ ((uint64_t)getpid() << 32);
	rng_state |= 1; /* must not be zero */
	prctl(PR_SET_TIMERSLACK, 1);
	sched_setscheduler(0, SCHED_RR, &prio);
	for (;;) {
		int64_t next = INT64_MAX, now = clock_ns(CLOCK_MONOTONIC);
		for (int i = 0; i < ndirs; i++) {
			int64_t due = release(&dirs[i], now);
			if (due < next) next = due;
		}
		now = clock_ns(CLOCK_MONOTONIC);
		int64_t wait = next == INT64_MAX ? 0 : next > now ? next - now : 0;
		struct timespec timeout = { wait / 1000000000LL, wait % 1000000000LL };
		if (ppoll(fds, (nfds_t)ndirs + 1, next == INT64_MAX ? NULL : &timeout, NULL) > 0) {
			for (int i = 0; i < ndirs; i++)
				/* A link that goes down is an error to be read away, or ppoll would return for ever. */
				if (fds[i].revents & (POLLIN | POLLERR)) receive(&dirs[i]);
			if (fds[ndirs].revents & POLLIN) control(commands);
		}
	}
}
