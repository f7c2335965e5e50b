/*
 * clockprobe: how far another machine's clock is from this one's, with hard bounds.
 *
 * A request leaves at t1 and is received there at t2; its answer leaves there at t3 and is received here at t4. Nothing
 * arrives before it was sent, so the offset (there - here) is at most t2 - t1 and at least t3 - t4, whatever the two ways
 * took. The bounds of several exchanges hold at once: the smallest upper and the largest lower one are kept, so that
 * a burst says more than its best round trip. Receive stamps are the kernel's. (ptp4l and chrony report the noise of
 * their path, not a bound on the clock.)
 *
 * usage: clockprobe serve ADDRESS PORT
 *        clockprobe ask ADDRESS PORT EXCHANGES PAUSE_US EVERY_MS [COUNT]
 *   one line a burst: {"atNs":"<middle, this clock>","lowerNs":N,"upperNs":N,"rttMaxNs":N,"lost":N}; EVERY_MS apart,
 *   for ever or COUNT times. upper < lower: a clock was set or slewed during the burst; what it is now is within a round
 *   trip of the two.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 200 };
static const uint64_t MAGIC = 0x6e7463306c636b31ULL;

struct __attribute__((packed)) message {
	uint64_t magic;
	uint32_t sequence, unused;
	int64_t t1, t2, t3;
};

static void die(const char *what)
{
	fprintf(stderr, "clockprobe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t ns_of(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return ns_of(t);
}

static int64_t steady_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return ns_of(t);
}

static void sleep_us(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };
	nanosleep(&t, NULL);
}

/* Receives one message with the kernel's stamp; 0: nothing valid within the timeout. */
static int receive(int fd, struct message *m, int64_t *stamp, struct sockaddr_in *from, int timeout_ms)
{
	char control[128];
	struct iovec iov = { m, sizeof *m };
	struct msghdr h = { .msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (poll(&p, 1, timeout_ms) <= 0) return 0;
	*stamp = now_ns();
	if (recvmsg(fd, &h, 0) != sizeof *m || m->magic != MAGIC) return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec t;
			memcpy(&t, CMSG_DATA(c), sizeof t);
			*stamp = ns_of(t);
		}
	}
	return 1;
}

static void serve(int fd)
{
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct message m;
		struct sockaddr_in from;
		int64_t stamp;
		if (!receive(fd, &m, &stamp, &from, -1)) continue;
		m.t2 = stamp;
		m.t3 = now_ns();
		sendto(fd, &m, sizeof m, 0, (struct sockaddr *)&from, sizeof from);
	}
}

static void burst(int fd, struct sockaddr_in *to, int exchanges, long pause_us)
{
	static uint32_t sequence;
	int64_t lower = INT64_MIN, upper = INT64_MAX, rtt = 0, start = now_ns();
	int lost = 0;
	for (int i = 0; i < exchanges; i++) {
		struct message m = { .magic = MAGIC, .sequence = ++sequence, .t1 = now_ns() };
		struct sockaddr_in from;
		int64_t t4 = 0;
		int answered = 0;
		if (sendto(fd, &m, sizeof m, 0, (struct sockaddr *)to, sizeof *to) == sizeof m)
			while (!answered && receive(fd, &m, &t4, &from, TIMEOUT_MS)) answered = m.sequence == sequence; /* an older answer comes late */
		if (!answered) {
			lost++;
			if (lost > 3 && lost > i / 2) break;
			continue;
		}
		if (m.t2 - m.t1 < upper) upper = m.t2 - m.t1;
		if (m.t3 - t4 > lower) lower = m.t3 - t4;
		if (t4 - m.t1 - (m.t3 - m.t2) > rtt) rtt = t4 - m.t1 - (m.t3 - m.t2);
		if (pause_us) sleep_us(pause_us);
	}
	int64_t middle = start + (now_ns() - start) / 2;
	if (upper == INT64_MAX) printf("{\"atNs\":\"%lld\",\"lost\":%d}\n", (long long)middle, lost);
	else printf("{\"atNs\":\"%lld\",\"lowerNs\":%lld,\"upperNs\":%lld,\"rttMaxNs\":%lld,\"lost\":%d}\n", (long long)middle, (long long)lower, (long long)upper, (long long)rtt, lost);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) return fprintf(stderr, "usage: clockprobe serve|ask ADDRESS PORT ...\n"), 2;
	address.sin_port = htons((uint16_t)atoi(argv[3]));
	if (fd < 0) die("socket");
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
	prctl(PR_SET_TIMERSLACK, 1);
	if (!strcmp(argv[1], "serve")) {
		if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
		serve(fd);
	}
	if (argc < 7) return fprintf(stderr, "usage: clockprobe ask ADDRESS PORT EXCHANGES PAUSE_US EVERY_MS [COUNT]\n"), 2;
	int exchanges = atoi(argv[4]);
	long pause_us = atol(argv[5]), every_ms = atol(argv[6]), count = argc > 7 ? atol(argv[7]) : -1;
	int64_t next = steady_ns();
	while (count-- != 0) {
		burst(fd, &address, exchanges, pause_us);
		next += every_ms * 1000000LL;
		if (next > steady_ns()) sleep_us((long)((next - steady_ns()) / 1000));
		else next = steady_ns();
	}
	return 0;
}
