/* The key of a packet, as the program in the kernel (action.bpf.c) reads it. */
#pragma once
#include "action.h"
#include "bytes.h"

/* 0: it has no flow. */
static int flow_of(const unsigned char *packet, size_t length, uint32_t network, struct flow *f)
{
	size_t at;
	memset(f, 0, sizeof *f);
	f->network = network;
	if (length >= 20 && packet[0] == 0x45) {
		f->family = 4;
		f->protocol = packet[9];
		memcpy(f->source, packet + 12, 4);
		memcpy(f->destination, packet + 16, 4);
		at = 20;
		if (get16(packet + 6) & 0x1fff) return f->part = FRAGMENT, 1;
	} else if (length >= 40 && packet[0] >> 4 == 6) {
		f->family = 6;
		f->protocol = packet[6];
		memcpy(f->source, packet + 8, 16);
		memcpy(f->destination, packet + 24, 16);
		at = 40;
		if (f->protocol == 0 || f->protocol == 43 || f->protocol == 60) return 0;
		if (f->protocol == 44) {
			if (length < 48) return 0;
			f->protocol = packet[40];
			at = 48;
			if (get16(packet + 42) & 0xfff8) return f->part = FRAGMENT, 1;
		}
	} else {
		return 0;
	}
	if (f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP) {
		if (length < at + 4) return 0;
		memcpy(&f->source_port, packet + at, 2);
		memcpy(&f->destination_port, packet + at + 2, 2);
	} else if (f->protocol == IPPROTO_ICMP || f->protocol == IPPROTO_ICMPV6) {
		if (length < at + 6) return 0;
		unsigned char type = packet[at];
		memcpy(&f->destination_port, packet + at, 2);
		if (type == 8 || type == 0 || type == 128 || type == 129) memcpy(&f->source_port, packet + at + 4, 2);
	}
	return 1;
}

static uint32_t hash_flow(const struct flow *f)
{
	/* FNV-1a. */
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < sizeof *f; i++) h = (h ^ ((const unsigned char *)f)[i]) * 16777619u;
	return h;
}
