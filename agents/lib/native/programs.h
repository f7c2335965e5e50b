/* Programs for the kernel's tc: loaded from the object that is linked in, attached to devices, and taken off again. */
#pragma once
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The compiled programs (lab/build.sh makes them first). */
extern const char programs[], programs_end[];
__asm__(".section .rodata\n.global programs\n.global programs_end\n.balign 8\nprograms:\n.incbin \"" PROGRAMS "\"\nprograms_end:\n.previous\n");

enum { MAX_HOOKS = 40 };
enum direction { INCOMING, OUTGOING };

static struct bpf_object *object;
static struct hook { int ifindex, bare; enum direction direction; } hooks[MAX_HOOKS];
static int hook_count;
/* Why the last call failed. */
static char why[512];

static int refuse(const char *what)
{
	snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
	return -1;
}

static int print_warnings(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* Descriptor of a map. */
static int map(const char *name)
{
	return bpf_object__find_map_fd_by_name(object, name);
}

/*
 * `name` tells programs of the same kind that are in the kernel already. `sized`: a map that has room for `entries`; NULL: all are as
 * they were written.
 */
static int load_programs(const char *name, const char *sized, unsigned int entries)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
	struct bpf_program *program;
	libbpf_set_print(print_warnings);
	object = bpf_object__open_mem(programs, (size_t)(programs_end - programs), &options);
	if (!object) return refuse("the programs cannot be read");
	bpf_object__for_each_program(program, object) bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
	if (sized && bpf_map__set_max_entries(bpf_object__find_map_by_name(object, sized), entries) < 0) return refuse(sized);
	return bpf_object__load(object) < 0 ? refuse("the kernel does not take the programs") : 0;
}

static int set_entry(const char *name, const void *key, const void *value, int on)
{
	int failed = on ? bpf_map_update_elem(map(name), key, value, BPF_ANY) : bpf_map_delete_elem(map(name), key);
	return failed < 0 && !(errno == ENOENT && !on) ? refuse(name) : 0;
}

/* linux/bpf.h of today: BPF_TCX_INGRESS, BPF_TCX_EGRESS. */
static enum bpf_attach_type bare_type(const struct hook *hook)
{
	return (enum bpf_attach_type)(hook->direction == OUTGOING ? 47 : 46);
}

/* By name: maps and programs of whoever was here before may be in the kernel still. */
static int is_ours(int fd)
{
	struct bpf_prog_info info = { 0 };
	unsigned int length = sizeof info;
	return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && bpf_object__find_program_by_name(object, info.name);
}

/* Takes programs of this object off a device, but for one. */
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

/* Devices that end with their namespace: veth and tap. A NIC that is given back to its machine would take a bare program along. */
static int ends_with_namespace(const char *device)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	int known = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return known == 0 && (!strcmp(info.driver, "veth") || !strcmp(info.driver, "tun"));
}

/* Where the kernel has it (from 6.6 on), a hook without a classifier around it: a twentieth of what a packet costs. */
static int attach_bare(const struct hook *hook, const char *device, int fd)
{
	if (!ends_with_namespace(device)) return -1;
	if (bpf_prog_attach(fd, hook->ifindex, bare_type(hook), 0) < 0) return -1;
	take_off(hook->ifindex, bare_type(hook), fd);
	return 0;
}

static int attach_classifier(const struct hook *hook, int fd)
{
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = hook->ifindex, .attach_point = hook->direction == OUTGOING ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE, .prog_fd = fd);
	int done = bpf_tc_hook_create(&tc);
	if (done == 0 || done == -EEXIST) done = bpf_tc_attach(&tc, &options);
	return done < 0 ? (errno = -done, -1) : 0;
}

/* In place of a program of the same name that is there already. */
static int attach_program(const char *device, const char *name, enum direction direction)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	if (!program || hook_count == MAX_HOOKS) return errno = EINVAL, refuse(name);
	struct hook hook = { .ifindex = (int)if_nametoindex(device), .direction = direction };
	if (!hook.ifindex) return refuse(device);
	hook.bare = attach_bare(&hook, device, bpf_program__fd(program)) == 0;
	if (!hook.bare && attach_classifier(&hook, bpf_program__fd(program)) < 0) return refuse(name);
	hooks[hook_count++] = hook;
	return 0;
}

static void detach_programs(void)
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

/* The kernel's own test run: no wire, no scheduler. Prints "ok ACTION NANOSECONDS HEX", what the program made of the frame. */
static int run_program(const char *name, const char *count, const char *hex)
{
	static unsigned char frame[2048], out[4096];
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	size_t length = strlen(hex) / 2;
	if (!program || length > sizeof frame) return errno = EINVAL, refuse(name);
	for (size_t i = 0; i < length; i++) if (sscanf(hex + 2 * i, "%2hhx", &frame[i]) != 1) return errno = EINVAL, refuse("frame");
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (unsigned int)length, .data_out = out, .data_size_out = sizeof out, .repeat = atoi(count));
	if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) < 0) return refuse("test run");
	printf("ok %d %u ", (int)options.retval, options.duration);
	for (unsigned int i = 0; i < options.data_size_out; i++) printf("%02x", out[i]);
	printf("\n");
	return 0;
}

/* One line of JSON: a counter for each name, from index `first` on, summed over processors. */
static void print_counters(const char *map_name, unsigned int first, const char *const names[], unsigned int count)
{
	int processors = libbpf_num_possible_cpus();
	unsigned long long values[processors > 0 ? processors : 1];
	printf("{");
	for (unsigned int i = 0; i < count; i++) {
		unsigned int key = first + i;
		unsigned long long sum = 0;
		if (bpf_map_lookup_elem(map(map_name), &key, values) == 0) for (int p = 0; p < processors; p++) sum += values[p];
		printf("%s\"%s\":%llu", i ? "," : "", names[i], sum);
	}
	printf("}\n");
}
