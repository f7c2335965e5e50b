/*
 * forwarder: loads the forwarding unit's programs (forward.bpf.c) into the kernel of its network namespace, and fills
 * their tables as it is told on stdin. It decides nothing. What is in the kernel goes on without it.
 *
 * usage: forwarder
 *
 * Commands, one a line; each but slot is answered with "ok" or "E why", in their order:
 *   settings SELF DOOR SEED SLOTS ENCAP PRESERVING PAIR MEMORY BACK LONGEST
 *   attach DEVICE edge_in|server_in|server_out
 *   peer ADDRESS on|off          who may send by tunnel or first hop
 *   own ADDRESS on|off           a server of this PoP, at its edge
 *   threat ADDRESS/LENGTH on|off         table ADDRESS/LENGTH ID
 *   slot TABLE INDEX SERVER TARGET FORMER FORMER HAND FLAGS     into the set of tables that does not rule yet
 *   commit VERSION               from now on it rules, as a whole; answered with "ok VERSION"
 *   dump TABLE                   targets of the entries that rule, in the kernel: "ok ADDRESS,..." (0.0.0.0: here)
 *   counters                     answered with a JSON object
 *   run PROGRAM COUNT HEX        runs a program on a frame, without a wire: "ok ACTION NANOSECONDS HEX" (what it made of it)
 *   detach                       takes its programs out of the kernel
 * At the end of stdin they stay there, and go on by the last table: whoever commanded may have died.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "forward.h"

/* The compiled programs (lab/build.sh makes them first). */
extern const char programs[], programs_end[];
__asm__(".section .rodata\n.global programs\n.global programs_end\n.balign 8\nprograms:\n.incbin \"" PROGRAMS "\"\nprograms_end:\n.previous\n");

enum { MAX_HOOKS = 32, SETS = 2, SET_SLOTS = MAX_TABLES * MAX_SLOTS };

static struct bpf_object *object;
static struct slot table_slots[SET_SLOTS];
static unsigned int ruling;
static struct hook { int ifindex, out, bare; } hooks[MAX_HOOKS];
static int hook_count;
static char why[512];

/* linux/bpf.h of today: BPF_TCX_INGRESS, BPF_TCX_EGRESS. */
static enum bpf_attach_type bare_type(const struct hook *hook)
{
	return (enum bpf_attach_type)(hook->out ? 47 : 46);
}

static int refuse(const char *what)
{
	snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
	return -1;
}

static int say(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static int map(const char *name)
{
	return bpf_object__find_map_fd_by_name(object, name);
}

static int load(void)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "forward");
	struct bpf_program *program;
	libbpf_set_print(say);
	object = bpf_object__open_mem(programs, (size_t)(programs_end - programs), &options);
	if (!object) return refuse("the programs cannot be read");
	bpf_object__for_each_program(program, object) bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
	return bpf_object__load(object) < 0 ? refuse("the kernel does not take the programs") : 0;
}

static int address_of(const char *text, unsigned int *address)
{
	return inet_pton(AF_INET, text, address) == 1 ? 0 : (errno = EINVAL, refuse(text));
}

static int prefix_of(char *text, struct prefix *prefix)
{
	char *slash = strchr(text, '/');
	prefix->length = slash ? (unsigned int)strtoul(slash + 1, NULL, 10) : 32;
	if (slash) *slash = 0;
	return address_of(text, &prefix->address);
}

static int set(const char *name, const void *key, const void *value, int on)
{
	int failed = on ? bpf_map_update_elem(map(name), key, value, BPF_ANY) : bpf_map_delete_elem(map(name), key);
	return failed < 0 && !(errno == ENOENT && !on) ? refuse(name) : 0;
}

static int configure(char **w)
{
	unsigned int zero = 0;
	struct settings s = {
		.seed = (unsigned int)strtoul(w[2], NULL, 10), .slots = (unsigned int)strtoul(w[3], NULL, 10), .encap = !strcmp(w[4], "gue") ? ENCAP_GUE : ENCAP_GRE,
		.preserving = w[5][0] == '1', .pair = w[6][0] == '1', .memory = w[7][0] == '1', .back = w[8][0] == '1', .longest = (unsigned int)strtoul(w[9], NULL, 10) };
	if (s.slots == 0 || s.slots > MAX_SLOTS || (s.slots & (s.slots - 1))) return errno = EINVAL, refuse("slots are a power of two, up to 4096");
	return address_of(w[0], &s.self) < 0 || address_of(w[1], &s.tunnel_end) < 0 ? -1 : set("configuration", &zero, &s, 1);
}

/* By name: maps and programs of whoever was here before may be in the kernel still. */
static int is_ours(int fd)
{
	struct bpf_prog_info info = { 0 };
	unsigned int length = sizeof info;
	return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && bpf_object__find_program_by_name(object, info.name);
}

/* Takes programs of this name off a device, but for one. */
static void take_off(int ifindex, enum bpf_attach_type where, int but)
{
	unsigned int ids[MAX_HOOKS], count = MAX_HOOKS, flags = 0, own = 0;
	struct bpf_prog_info info = { 0 };
	unsigned int length = sizeof info;
	if (but >= 0 && bpf_obj_get_info_by_fd(but, &info, &length) == 0) own = info.id;
	if (bpf_prog_query(ifindex, where, 0, &flags, ids, &count) < 0) return;
	for (unsigned int i = 0; i < count; i++) {
		int fd = ids[i] == own ? -1 : bpf_prog_get_fd_by_id(ids[i]);
		if (fd < 0) continue;
		if (is_ours(fd)) bpf_prog_detach2(fd, ifindex, where);
		close(fd);
	}
}

static int is_veth(const char *device)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	int known = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return known == 0 && !strcmp(info.driver, "veth");
}

/*
 * Where the kernel has it (from 6.6 on), a hook without a classifier around it: a twentieth of what a packet costs. Only on
 * links that end with their namespace: a NIC that is given back to its machine would take the program along.
 */
static int attach_bare(const struct hook *hook, const char *device, int fd)
{
	if (!is_veth(device)) return -1;
	if (bpf_prog_attach(fd, hook->ifindex, bare_type(hook), 0) < 0) return -1;
	take_off(hook->ifindex, bare_type(hook), fd);
	return 0;
}

static int attach_classifier(const struct hook *hook, int fd)
{
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = hook->ifindex, .attach_point = hook->out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE, .prog_fd = fd);
	int done = bpf_tc_hook_create(&tc);
	if (done == 0 || done == -EEXIST) done = bpf_tc_attach(&tc, &options);
	return done < 0 ? (errno = -done, -1) : 0;
}

static int attach(const char *device, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	if (!program || hook_count == MAX_HOOKS) return errno = EINVAL, refuse(name);
	struct hook hook = { .ifindex = (int)if_nametoindex(device), .out = !strcmp(name, "server_out") };
	if (!hook.ifindex) return refuse(device);
	hook.bare = attach_bare(&hook, device, bpf_program__fd(program)) == 0;
	if (!hook.bare && attach_classifier(&hook, bpf_program__fd(program)) < 0) return refuse(name);
	hooks[hook_count++] = hook;
	return 0;
}

static void detach(void)
{
	for (; hook_count > 0; hook_count--) {
		const struct hook *hook = &hooks[hook_count - 1];
		if (hook->bare) {
			take_off(hook->ifindex, bare_type(hook), -1);
		} else {
			LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = hook->ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
			bpf_tc_hook_destroy(&tc);
		}
	}
}

static int put_slot(char **w)
{
	unsigned long table = strtoul(w[0], NULL, 10), index = strtoul(w[1], NULL, 10);
	struct slot s = { .flags = (unsigned int)strtoul(w[7], NULL, 10) };
	if (table >= MAX_TABLES || index >= MAX_SLOTS) return errno = ERANGE, refuse("slot");
	if (address_of(w[2], &s.server) < 0 || address_of(w[3], &s.target) < 0 || address_of(w[4], &s.previous[0]) < 0 || address_of(w[5], &s.previous[1]) < 0 || address_of(w[6], &s.handoff) < 0) return -1;
	table_slots[table * MAX_SLOTS + index] = s;
	return 0;
}

static int commit(void)
{
	static unsigned int keys[SET_SLOTS];
	unsigned int next = 1 - ruling, zero = 0, count = SET_SLOTS;
	for (unsigned int i = 0; i < SET_SLOTS; i++) keys[i] = next * SET_SLOTS + i;
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	if (bpf_map_update_batch(map("slots"), keys, table_slots, &count, &options) < 0) return refuse("slots");
	if (set("active", &zero, &next, 1) < 0) return -1;
	ruling = next;
	return 0;
}

/* What the kernel has, not what was meant. */
static int dump(const char *which)
{
	unsigned int zero = 0, ruling_now = 0, table = (unsigned int)strtoul(which, NULL, 10);
	struct settings s;
	if (table >= MAX_TABLES) return errno = ERANGE, refuse("table");
	if (bpf_map_lookup_elem(map("active"), &zero, &ruling_now) < 0 || bpf_map_lookup_elem(map("configuration"), &zero, &s) < 0) return refuse("dump");
	printf("ok ");
	for (unsigned int i = 0; i < s.slots; i++) {
		unsigned int index = (ruling_now * MAX_TABLES + table) * MAX_SLOTS + i;
		struct slot slot = { 0 };
		char text[INET_ADDRSTRLEN];
		bpf_map_lookup_elem(map("slots"), &index, &slot);
		printf("%s%s", i ? "," : "", inet_ntop(AF_INET, &(unsigned int){ slot.flags & SLOT_AWAY ? slot.target : 0 }, text, sizeof text));
	}
	printf("\n");
	return 0;
}

static void counters(void)
{
	static const char *const names[] = {
#define TEXT(counter) #counter,
		COUNTERS(TEXT)
	};
	int processors = libbpf_num_possible_cpus();
	unsigned long long values[processors > 0 ? processors : 1];
	printf("{");
	for (unsigned int i = 0; i < COUNTER_NUMBER; i++) {
		unsigned long long sum = 0;
		if (bpf_map_lookup_elem(map("counters"), &i, values) == 0) for (int p = 0; p < processors; p++) sum += values[p];
		printf("%s\"%s\":%llu", i ? "," : "", names[i], sum);
	}
	printf("}\n");
}

/* The kernel's own test run: no wire, no scheduler, but the sockets of this namespace. */
static int run(char **w)
{
	static unsigned char frame[2048], out[4096];
	struct bpf_program *program = bpf_object__find_program_by_name(object, w[0]);
	size_t length = strlen(w[2]) / 2;
	if (!program || length > sizeof frame) return errno = EINVAL, refuse(w[0]);
	for (size_t i = 0; i < length; i++) if (sscanf(w[2] + 2 * i, "%2hhx", &frame[i]) != 1) return errno = EINVAL, refuse("frame");
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (unsigned int)length, .data_out = out, .data_size_out = sizeof out, .repeat = atoi(w[1]));
	if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) < 0) return refuse("test run");
	printf("ok %d %u ", (int)options.retval, options.duration);
	for (unsigned int i = 0; i < options.data_size_out; i++) printf("%02x", out[i]);
	printf("\n");
	return 0;
}

static int obey(char *line, int *answered)
{
	static const struct { const char *name; int words; } known[] = { { "settings", 10 }, { "attach", 2 }, { "peer", 2 }, { "threat", 2 }, { "table", 2 }, { "slot", 8 }, { "commit", 1 }, { "counters", 0 }, { "detach", 0 }, { "run", 3 }, { "own", 2 }, { "dump", 1 } };
	char *w[11] = { 0 }, *command = strtok(line, " ");
	struct prefix prefix;
	unsigned int number;
	size_t which = 0;
	while (which < sizeof known / sizeof *known && (!command || strcmp(command, known[which].name))) which++;
	if (which == sizeof known / sizeof *known) return errno = EINVAL, refuse("unknown command");
	for (int i = 0; i < known[which].words; i++) if (!(w[i] = strtok(NULL, " "))) return errno = EINVAL, refuse("incomplete command");
	switch (which) {
	case 0: return configure(w);
	case 1: return attach(w[0], w[1]);
	case 2: return address_of(w[0], &number) < 0 ? -1 : set("peers", &number, &(unsigned int){ 1 }, !strcmp(w[1], "on"));
	case 3: return prefix_of(w[0], &prefix) < 0 ? -1 : set("barred", &prefix, &(unsigned int){ THREAT }, !strcmp(w[1], "on"));
	case 4: number = (unsigned int)strtoul(w[1], NULL, 10); return prefix_of(w[0], &prefix) < 0 ? -1 : set("tables", &prefix, &number, 1);
	case 5:
		/* Not answered; a table that is wrong must not rule. */
		if (put_slot(w) < 0) {
			fprintf(stderr, "forwarder: %s\n", why);
			exit(1);
		}
		*answered = 1;
		return 0;
	case 6: if (commit() < 0) return -1; printf("ok %s\n", w[0]); *answered = 1; return 0;
	case 7: counters(); *answered = 1; return 0;
	case 8: detach(); return 0;
	case 9: if (run(w) < 0) return -1; *answered = 1; return 0;
	case 10: return prefix_of(w[0], &prefix) < 0 ? -1 : set("barred", &prefix, &(unsigned int){ OWN }, !strcmp(w[1], "on"));
	default: if (dump(w[0]) < 0) return -1; *answered = 1; return 0;
	}
}

int main(void)
{
	static char line[8192];
	signal(SIGPIPE, SIG_IGN);
	if (load() < 0) {
		fprintf(stderr, "forwarder: %s\n", why);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		int answered = 0;
		line[strcspn(line, "\n")] = 0;
		if (obey(line, &answered) < 0) printf("E %s\n", why);
		else if (!answered) printf("ok\n");
		fflush(stdout);
	}
	return 0;
}
