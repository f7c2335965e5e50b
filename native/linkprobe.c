/*
 * linkprobe: measures links below everything that runs over them.
 *
 * Sends Ethernet frames (EtherType 0x88b5, IEEE local experimental) to the
 * nearest-bridge group address, which no bridge forwards, so that exactly one
 * link is measured whatever hangs off its ends: hosts, bridges, Open vSwitch.
 * Delay is from the sender's clock just before send() to the kernel's receive
 * stamp. Written by hand because iperf3 and ping need addresses at both ends.
 *
 * usage: linkprobe LINGER_MS < jobs > results     all jobs run at once; LINGER_MS
 *        is how long nothing may arrive before what is missing counts as lost
 *   job:    ID TX_NETNS TX_IF RX_NETNS RX_IF FRAMES BYTES INTERVAL_NS
 *   result: one JSON object a line
 *
 * Of a link between two machines each runs one half, with the same list of jobs and "-" for the end that is not
 * its own. The half that receives says "ready" on stderr; its delays are between two clocks, for the caller to mend.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 512, PROBE_ETHERTYPE = 0x88b5, BATCH = 32 };
static const uint64_t MAGIC = 0x6e65747269673031ULL; /* "netrig01" */
static const unsigned char NEAREST_BRIDGE[6] = { 0x01, 0x80, 0xc2, 0, 0, 0x0e };

struct __attribute__((packed)) probe {
	unsigned char dst[6], src[6];
	uint16_t ethertype;
	uint64_t magic;
	uint32_t job, sequence;
	int64_t sent_ns;
};

struct job {
	char id[64];
	int tx, rx, frames, bytes, sent, send_errors, received; /* tx, rx: -1 if that end is on another machine */
	int64_t interval_ns, started_ns, finished_ns;
	unsigned char src[6];
	int64_t *rx_ns, *delay_ns; /* by arrival */
	unsigned char *seen;
};

static struct job jobs[MAX_JOBS];
static int njobs;

static void die(const char *what, const char *which)
{
	fprintf(stderr, "linkprobe: %s %s: %s\n", what, which, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Every frame is seen (a kernel switch takes those of a port before the handler of one EtherType would), the probes pass. */
static struct sock_filter only_probes[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE_ETHERTYPE, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0xffff),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

static int open_in(const char *netns, const char *ifname, int protocol, unsigned char *mac)
{
	struct sock_fprog filter = { sizeof only_probes / sizeof *only_probes, only_probes };
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	struct ifreq req = { 0 };
	int bytes = 8 << 20, on = 1, fd, ns = open(netns, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) die("namespace", netns);
	close(ns);
	if ((fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0)) < 0) die("socket", ifname);
	snprintf(req.ifr_name, sizeof req.ifr_name, "%s", ifname);
	if (ioctl(fd, SIOCGIFHWADDR, &req) < 0) die("interface", ifname);
	memcpy(mac, req.ifr_hwaddr.sa_data, 6);
	addr.sll_ifindex = (int)if_nametoindex(ifname);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0) die("filter", ifname);
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die("bind", ifname);
	return fd;
}

static void send_due(struct job *j, int64_t now)
{
	unsigned char buffer[9216] = { 0 };
	struct probe *p = (struct probe *)buffer;
	while (j->tx >= 0 && j->sent < j->frames && now >= j->started_ns + j->sent * j->interval_ns) {
		memcpy(p->dst, NEAREST_BRIDGE, 6);
		memcpy(p->src, j->src, 6);
		p->ethertype = htons(PROBE_ETHERTYPE);
		p->magic = MAGIC;
		p->job = (uint32_t)(j - jobs);
		p->sequence = (uint32_t)j->sent++;
		p->sent_ns = now_ns();
		if (send(j->tx, buffer, (size_t)j->bytes, 0) < 0) j->send_errors++;
		now = now_ns();
		if (j->sent == j->frames) j->finished_ns = now;
	}
}

static void receive(struct job *j)
{
	static unsigned char buffers[BATCH][9216];
	static char control[BATCH][128];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;
	do {
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buffers[i], sizeof buffers[i] };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i] };
		}
		n = recvmmsg(j->rx, msgs, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			const struct probe *p = (const struct probe *)buffers[i];
			int64_t stamp = now_ns();
			if (msgs[i].msg_len < sizeof *p || p->magic != MAGIC || p->job != (uint32_t)(j - jobs)) continue;
			if (p->sequence >= (uint32_t)j->frames || j->seen[p->sequence]) continue;
			for (struct cmsghdr *c = CMSG_FIRSTHDR(&msgs[i].msg_hdr); c; c = CMSG_NXTHDR(&msgs[i].msg_hdr, c)) {
				if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
					struct timespec t;
					memcpy(&t, CMSG_DATA(c), sizeof t);
					stamp = t.tv_sec * 1000000000LL + t.tv_nsec;
				}
			}
			j->seen[p->sequence] = 1;
			j->rx_ns[j->received] = stamp;
			j->delay_ns[j->received++] = stamp - p->sent_ns;
		}
	} while (n == BATCH);
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void report(struct job *j)
{
	/* Steady rate: what arrived after the first fifth, when the token bucket is empty. */
	int first = j->received / 5, last = j->received - 1;
	double rate = 0, offered = 0;
	if (last > first && j->rx_ns[last] > j->rx_ns[first])
		rate = (double)(last - first) * j->bytes * 8e9 / (double)(j->rx_ns[last] - j->rx_ns[first]);
	if (j->sent > 1 && j->finished_ns > j->started_ns)
		offered = (double)(j->sent - 1) * j->bytes * 8e9 / (double)(j->finished_ns - j->started_ns);
	qsort(j->delay_ns, (size_t)j->received, sizeof *j->delay_ns, ascending);
#define QUANTILE_US(q) (j->received ? (double)j->delay_ns[(int)((j->received - 1) * (q))] / 1000 : -1)
	printf("{\"id\":\"%s\",\"sent\":%d,\"sendErrors\":%d,\"received\":%d,\"rateBps\":%.0f,\"offeredBps\":%.0f,"
	       "\"delayMinUs\":%.1f,\"delayMedianUs\":%.1f,\"delayP10Us\":%.1f,\"delayP90Us\":%.1f,\"delayMaxUs\":%.1f}\n",
	       j->id, j->sent, j->send_errors, j->received, rate, offered,
	       QUANTILE_US(0), QUANTILE_US(0.5), QUANTILE_US(0.1), QUANTILE_US(0.9), QUANTILE_US(1));
}

int main(int argc, char **argv)
{
	static struct pollfd fds[MAX_JOBS];
	char tx_ns[256], tx_if[32], rx_ns[256], rx_if[32];
	struct job j = { 0 };
	unsigned char ignored[6];
	int halves = 0;

	if (argc != 2) return fprintf(stderr, "usage: linkprobe LINGER_MS < jobs > results\n"), 2;
	int64_t linger_ns = atol(argv[1]) * 1000000L;
	while (scanf("%63s %255s %31s %255s %31s %d %d %ld", j.id, tx_ns, tx_if, rx_ns, rx_if, &j.frames, &j.bytes, &j.interval_ns) == 8) {
		if (njobs == MAX_JOBS) return fprintf(stderr, "linkprobe: more than %d jobs\n", MAX_JOBS), 1;
		if (j.frames < 1 || j.bytes < (int)sizeof(struct probe) || j.bytes > 9216) return fprintf(stderr, "linkprobe: job %s: bad size\n", j.id), 1;
		struct job *job = &jobs[njobs];
		*job = j;
		job->rx_ns = calloc((size_t)j.frames, sizeof *job->rx_ns);
		job->delay_ns = calloc((size_t)j.frames, sizeof *job->delay_ns);
		job->seen = calloc((size_t)j.frames, 1);
		if (!job->rx_ns || !job->delay_ns || !job->seen) die("memory for", j.id);
		job->tx = strcmp(tx_ns, "-") ? open_in(tx_ns, tx_if, 0, job->src) : -1;
		job->rx = strcmp(rx_ns, "-") ? open_in(rx_ns, rx_if, ETH_P_ALL, ignored) : -1;
		halves |= job->tx < 0;
		fds[njobs++] = (struct pollfd){ .fd = job->rx, .events = POLLIN };
	}
	prctl(PR_SET_TIMERSLACK, 1);
	if (halves) fprintf(stderr, "ready\n");
	int64_t start = now_ns();
	/* Staggered, so that jobs do not send in step. */
	for (int i = 0; i < njobs; i++) jobs[i].started_ns = start + jobs[i].interval_ns * i / njobs;
	int64_t quiet_since = start;
	for (;;) {
		int64_t now = now_ns(), next = INT64_MAX;
		int sending = 0, missing = 0;
		for (int i = 0; i < njobs; i++) {
			send_due(&jobs[i], now);
			if (jobs[i].tx >= 0 && jobs[i].sent < jobs[i].frames) {
				int64_t due = jobs[i].started_ns + jobs[i].sent * jobs[i].interval_ns;
				if (due < next) next = due;
				sending = 1;
			}
			if (jobs[i].rx >= 0) missing += (jobs[i].tx >= 0 ? jobs[i].sent : jobs[i].frames) - jobs[i].received;
		}
		now = now_ns();
		if (sending) quiet_since = now;
		if (!sending && (missing == 0 || now - quiet_since > linger_ns)) break;
		int64_t wait = sending ? (next > now ? next - now : 0) : 20000000;
		struct timespec timeout = { wait / 1000000000LL, wait % 1000000000LL };
		if (ppoll(fds, (nfds_t)njobs, &timeout, NULL) > 0) {
			if (!sending) quiet_since = now_ns();
			for (int i = 0; i < njobs; i++)
				if (fds[i].revents & POLLIN) receive(&jobs[i]);
		}
	}
	for (int i = 0; i < njobs; i++) report(&jobs[i]);
	fflush(stdout);
	/* Closing a packet socket waits some 15 ms for the kernel's readers, each: a child does that after the answer. */
	if (fork() == 0) {
		close(0);
		close(1);
		close(2);
	}
	_exit(0);
}
