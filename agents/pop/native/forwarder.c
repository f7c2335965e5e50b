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
#include <signal.h>
#include <stdlib.h>
#include "forward.h"
#include "commands.h"

enum { SETS = 2, SET_SLOTS = MAX_TABLES * MAX_SLOTS };

static struct slot table_slots[SET_SLOTS];
static unsigned int ruling;

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

static int configure(char **w)
{
	unsigned int zero = 0;
	struct settings s = {
		.seed = (unsigned int)strtoul(w[2], NULL, 10), .slots = (unsigned int)strtoul(w[3], NULL, 10), .encap = !strcmp(w[4], "gue") ? ENCAP_GUE : ENCAP_GRE,
		.preserving = w[5][0] == '1', .pair = w[6][0] == '1', .memory = w[7][0] == '1', .back = w[8][0] == '1', .longest = (unsigned int)strtoul(w[9], NULL, 10) };
	if (s.slots == 0 || s.slots > MAX_SLOTS || (s.slots & (s.slots - 1))) return errno = EINVAL, refuse("slots are a power of two, up to 4096");
	return address_of(w[0], &s.self) < 0 || address_of(w[1], &s.tunnel_end) < 0 ? -1 : set_entry("configuration", &zero, &s, 1);
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
	if (set_entry("active", &zero, &next, 1) < 0) return -1;
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
	print_counters("counters", 0, names, COUNTER_NUMBER);
}

static int obey(char *line, int *answered)
{
	static const struct command known[] = { { "settings", 10 }, { "attach", 2 }, { "peer", 2 }, { "threat", 2 }, { "table", 2 }, { "slot", 8 }, { "commit", 1 }, { "counters", 0 }, { "detach", 0 }, { "run", 3 }, { "own", 2 }, { "dump", 1 } };
	char *w[11] = { 0 };
	struct prefix prefix;
	unsigned int number;
	switch (read_command(line, known, sizeof known / sizeof *known, w)) {
	case -1: return -1;
	case 0: return configure(w);
	case 1: return attach_program(w[0], w[1], strcmp(w[1], "server_out") ? INCOMING : OUTGOING);
	case 2: return address_of(w[0], &number) < 0 ? -1 : set_entry("peers", &number, &(unsigned int){ 1 }, !strcmp(w[1], "on"));
	case 3: return prefix_of(w[0], &prefix) < 0 ? -1 : set_entry("barred", &prefix, &(unsigned int){ THREAT }, !strcmp(w[1], "on"));
	case 4: number = (unsigned int)strtoul(w[1], NULL, 10); return prefix_of(w[0], &prefix) < 0 ? -1 : set_entry("tables", &prefix, &number, 1);
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
	case 8: detach_programs(); return 0;
	case 9: if (run_program(w[0], w[1], w[2]) < 0) return -1; *answered = 1; return 0;
	case 10: return prefix_of(w[0], &prefix) < 0 ? -1 : set_entry("barred", &prefix, &(unsigned int){ OWN }, !strcmp(w[1], "on"));
	default: if (dump(w[0]) < 0) return -1; *answered = 1; return 0;
	}
}

int main(void)
{
	static char line[8192];
	signal(SIGPIPE, SIG_IGN);
	if (load_programs("forward", NULL, 0) < 0) {
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
