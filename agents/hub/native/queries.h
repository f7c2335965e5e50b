/* The slow path of an AIN (R1 section 2, E1 to E6): what misses its cache goes to a DMN as it is, and comes back after its action. */
#pragma once
#include <time.h>
#include "dmns.h"
#include "operations.h"

enum { MAX_MESSAGES_A_TURN = 64, WINDOW = 4096, MAX_ACTION_BYTES = 4096, MAX_TRIES = 3 };
static struct settings settings;
static uint64_t asked;
/* Of the device that misses come by. */
static int tap_fd = -1;

/* Answers that have been heard, of the last WINDOW queries, by kind. Queries are numbered from 1. */
static uint64_t heard[2][WINDOW];

static uint64_t now_monotonic(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
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
	send_message(&dmn->address, QUERY, tries, ++asked, message, FLOW_BYTES + length - 14);
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

static void hear_action(uint64_t number, const unsigned char *payload, size_t length)
{
	struct flow f;
	size_t total;
	const unsigned char *ops = collect(0, number, payload, length, MAX_ACTION_BYTES, &total);
	if (!ops) return;
	mark(0, number);
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
static void give_back(const struct flow *f, unsigned char tries, const unsigned char *packet, size_t length)
{
	static unsigned char frame[MAX_FRAME];
	struct action a;
	const struct branch *b = NULL;
	for (unsigned int i = 0; i < branch_count && !b; i++) if (branches[i].network == f->network) b = &branches[i];
	if (!b || length > sizeof frame - 14) return;
	memcpy(frame, b->address, 6);
	memcpy(frame + 6, b->gateway, 6);
	frame[12] = f->family == 4 ? 0x08 : 0x86;
	frame[13] = f->family == 4 ? 0x00 : 0xdd;
	memcpy(frame + 14, packet, length);
	if (bpf_map_lookup_elem(map("actions"), f, &a) < 0 || !is_valid(&a)) {
		/* The action was lost, pushed out, or of older metadata: the packet is the query once more. */
		if (tries + 1 >= MAX_TRIES) {
			counts[COUNT_undecided]++;
			return;
		}
		counts[COUNT_repeated]++;
		ask(frame, length + 14, f->network, (unsigned char)(tries + 1));
		return;
	}
	counts[COUNT_returned]++;
	if (write(tap_fd, frame, length + 14) < 0) counts[COUNT_undecided]++;
}

static void hear_packet(uint64_t number, unsigned char tries, const unsigned char *payload, size_t length)
{
	struct flow f;
	const unsigned char *packet = collect(1, number, payload, length, MAX_FRAME - 14, &length);
	if (!packet) return;
	mark(1, number);
	memcpy(&f, payload, FLOW_BYTES);
	give_back(&f, tries, packet, length);
}

/* payload: flow, u16 bytes of the action, the action, the packet. */
static void hear_answer(uint64_t number, unsigned char tries, const unsigned char *payload, size_t length)
{
	struct flow f;
	size_t before = FLOW_BYTES + 2, ops = length < before ? 0 : get16(payload + FLOW_BYTES);
	if (length < before + ops) {
		counts[COUNT_malformed]++;
		return;
	}
	mark(0, number);
	mark(1, number);
	memcpy(&f, payload, FLOW_BYTES);
	if (install(&f, payload + before, ops) == 0) give_back(&f, tries, payload + before + ops, length - before - ops);
}

static void hear(void)
{
	static unsigned char message[MAX_MESSAGE];
	/* A turn each: a flood of messages keeps neither commands nor probes from their turn. */
	for (int turn = 0; turn < MAX_MESSAGES_A_TURN; turn++) {
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
		if (!dmn || dmn->address.sin_addr.s_addr != from.sin_addr.s_addr || !is_sealed(message, length)) {
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
		case ANSWER:
			counts[COUNT_answers]++;
			if (!is_new(0, number) || !is_new(1, number)) counts[COUNT_stale]++;
			else hear_answer(number, message[2], payload, size);
			break;
		case PROBED:
			hear_probed(dmn, number, payload, size);
			break;
		default:
			counts[COUNT_malformed]++;
		}
	}
}
