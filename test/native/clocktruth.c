/*
 * clocktruth: the true offset between the clocks of two emulated machines, for tests of what netrig says of them.
 *
 * Under emulation a guest's time-stamp counter is the host's plus a constant. Both sides write their counter into a
 * page that they share (ivshmem) and read the other's: what is read was written earlier, which bounds the constant from
 * both sides, to some 0.2 us. With it, readings of (counter, CLOCK_REALTIME) in two guests compare their clocks
 * without any network.
 *
 * guest:  clocktruth guest calibrate MS | sample COUNT INTERVAL_US | step NS | frequency PPM
 * host:   clocktruth host calibrate PAGE MS            -> {"ticks":N,"widthNs":N}
 *         clocktruth host hz                           -> ticks a second
 *         clocktruth host now                          -> "TICKS REALTIME_NS" of this machine, at one moment
 *         clocktruth host samples PAGE                 -> lines "TICKS REALTIME_NS", the latest last
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { RING = 4096, SETTLE = 30, BRACKETS = 16 };

struct sample {
	volatile uint64_t sequence, ticks, real_ns;
};

/* One writer a word, a cache line each. */
struct page {
	volatile uint64_t host_ticks __attribute__((aligned(64)));
	volatile uint64_t host_session __attribute__((aligned(64)));
	volatile uint64_t guest_ticks __attribute__((aligned(64)));
	volatile uint64_t guest_session __attribute__((aligned(64)));
	volatile int64_t upper __attribute__((aligned(64)));
	volatile uint64_t samples __attribute__((aligned(64)));
	struct sample ring[RING] __attribute__((aligned(64)));
};

static struct page *page;

static uint64_t ticks(void)
{
	unsigned ignored;
	_mm_lfence();
	uint64_t t = __rdtscp(&ignored);
	_mm_lfence();
	return t;
}

/* The emulated counter is not fenced: the processor may take it before the load that precedes it has completed. */
static void settle(void)
{
	volatile int i;
	for (i = 0; i < SETTLE; i++) { }
}

static double seconds(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int map(const char *path)
{
	int fd = open(path, O_RDWR);
	if (fd < 0) return -1;
	page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return page == MAP_FAILED ? -1 : 0;
}

static long hex_in(const char *dir, const char *file)
{
	char path[512], text[32] = { 0 };
	snprintf(path, sizeof path, "%s/%s", dir, file);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text - 1) < 0) return -1;
	close(fd);
	return strtol(text, NULL, 16);
}

static int map_device(void)
{
	glob_t found;
	char path[512];
	if (glob("/sys/bus/pci/devices/*", 0, NULL, &found)) return -1;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (hex_in(found.gl_pathv[i], "vendor") != 0x1af4 || hex_in(found.gl_pathv[i], "device") != 0x1110) continue;
		snprintf(path, sizeof path, "%s/enable", found.gl_pathv[i]);
		int fd = open(path, O_WRONLY);
		if (fd >= 0 && write(fd, "1", 1) < 0) return -1;
		if (fd >= 0) close(fd);
		snprintf(path, sizeof path, "%s/resource2", found.gl_pathv[i]);
		return map(path);
	}
	return -1;
}

static void take_sample(void)
{
	uint64_t best = UINT64_MAX, at = 0, real = 0;
	for (int i = 0; i < BRACKETS; i++) {
		struct timespec t;
		uint64_t before = ticks();
		clock_gettime(CLOCK_REALTIME, &t);
		uint64_t width = ticks() - before;
		if (width < best) {
			best = width;
			at = before + width / 2;
			real = (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
		}
	}
	uint64_t n = page->samples;
	struct sample *s = &page->ring[n % RING];
	s->sequence = 0;
	s->ticks = at;
	s->real_ns = real;
	s->sequence = n + 1;
	page->samples = n + 1;
}

static int calibrate_guest(double ms)
{
	int64_t upper = INT64_MAX;
	double end = seconds(CLOCK_MONOTONIC) + ms / 1e3;
	page->upper = upper;
	page->guest_session = page->host_session;
	do {
		for (int i = 0; i < 200; i++) {
			uint64_t theirs = page->host_ticks;
			settle();
			uint64_t mine = ticks();
			page->guest_ticks = mine;
			if (theirs && (int64_t)(mine - theirs) < upper) upper = (int64_t)(mine - theirs);
		}
		page->upper = upper;
	} while (seconds(CLOCK_MONOTONIC) < end);
	page->guest_ticks = 0;
	return 0;
}

static double hz(void)
{
	double a = seconds(CLOCK_MONOTONIC_RAW);
	uint64_t t = ticks();
	usleep(300000);
	double b = seconds(CLOCK_MONOTONIC_RAW);
	return (double)(ticks() - t) / (b - a);
}

static int calibrate_host(double ms)
{
	int64_t lower = INT64_MIN;
	double end = seconds(CLOCK_MONOTONIC) + ms / 1e3, seen = 0;
	page->guest_ticks = 0;
	page->host_session++;
	do {
		if (seen == 0 && page->guest_ticks) seen = seconds(CLOCK_MONOTONIC);
		if (seen != 0 && seconds(CLOCK_MONOTONIC) - seen > 0.15) break;
		for (int i = 0; i < 200; i++) {
			page->host_ticks = ticks();
			uint64_t theirs = page->guest_ticks, mine = ticks();
			if (theirs && (int64_t)(theirs - mine) > lower) lower = (int64_t)(theirs - mine);
		}
	} while (seconds(CLOCK_MONOTONIC) < end);
	page->host_ticks = 0;
	usleep(20000);
	if (lower == INT64_MIN || page->upper == INT64_MAX || page->guest_session != page->host_session) return fprintf(stderr, "no answer from the guest\n"), 1;
	printf("{\"ticks\":\"%lld\",\"widthNs\":%.0f}\n", (long long)(lower + (page->upper - lower) / 2), (double)(page->upper - lower) / hz() * 1e9);
	return 0;
}

static int set_clock(const char *how, const char *value)
{
	struct timex x = { 0 };
	if (!strcmp(how, "step")) {
		long ns = atol(value), s = ns >= 0 ? ns / 1000000000 : -((-ns + 999999999) / 1000000000);
		x.modes = ADJ_SETOFFSET | ADJ_NANO;
		x.time.tv_sec = s;
		x.time.tv_usec = ns - s * 1000000000;
	} else {
		x.modes = ADJ_FREQUENCY;
		x.freq = (long)(atof(value) * 65536);
	}
	return adjtimex(&x) < 0 ? fail("adjtimex") : 0;
}

int main(int argc, char **argv)
{
	int host = argc > 2 && !strcmp(argv[1], "host");
	if (argc < 3) return fprintf(stderr, "usage: see the source\n"), 2;
	if (!host && argc > 3 && (!strcmp(argv[2], "step") || !strcmp(argv[2], "frequency"))) return set_clock(argv[2], argv[3]);
	if (host && !strcmp(argv[2], "now")) {
		struct timespec t;
		uint64_t before = ticks();
		clock_gettime(CLOCK_REALTIME, &t);
		return printf("%llu %lld\n", (unsigned long long)(before + (ticks() - before) / 2), t.tv_sec * 1000000000LL + t.tv_nsec), 0;
	}
	if (host && !strcmp(argv[2], "hz")) return printf("%.3f\n", hz()), 0;
	if (host ? map(argv[3]) < 0 : map_device() < 0) return fail("shared page");
	if (!strcmp(argv[2], "calibrate")) return host ? calibrate_host(atof(argv[4])) : calibrate_guest(atof(argv[3]));
	if (host) {
		uint64_t n = page->samples, from = n > RING ? n - RING : 0;
		for (uint64_t i = from; i < n; i++) printf("%llu %llu\n", (unsigned long long)page->ring[i % RING].ticks, (unsigned long long)page->ring[i % RING].real_ns);
		return 0;
	}
	for (long n = atol(argv[3]); n > 0; n--) {
		take_sample();
		usleep((useconds_t)atol(argv[4]));
	}
	return 0;
}
