/* Client VNIs at this AIN: their addresses, their networks, and how switches learn where they are. */
#pragma once
#include <linux/if_packet.h>
#include <stdlib.h>
#include "action.h"
#include "bytes.h"

static struct branch branches[MAX_BRANCHES];
static unsigned int branch_count;
static unsigned char own_address[6];
static int frame_fd = -1;

static const struct branch *branch_at(const unsigned char address[6])
{
	for (unsigned int i = 0; i < branch_count; i++) if (!memcmp(branches[i].address, address, 6)) return &branches[i];
	return NULL;
}

/* Switches learn where a branch is from a frame of its own, as they do of a host that says hello; else they flood what is sent to it. */
static void announce(unsigned int device, const struct branch *b)
{
	unsigned char frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)device, .sll_halen = 6 };
	if (frame_fd < 0 && (frame_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) < 0) return;
	memcpy(frame + 6, b->address, 6);
	/* IEEE 802's number for local experiments: nobody reads it. */
	frame[12] = 0x88;
	frame[13] = 0xb5;
	sendto(frame_fd, frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to);
}

static int add_branch(unsigned int device, char **w)
{
	struct branch b = { .network = (unsigned int)strtoul(w[1], NULL, 10) };
	if (mac_of(w[0], b.address) < 0 || mac_of(w[2], b.gateway) < 0) return -1;
	if (b.network == 0 || b.network >= MAX_NETWORKS || branch_count == MAX_BRANCHES) return errno = ERANGE, refuse("branch");
	struct branch *known = (struct branch *)branch_at(b.address);
	*(known ? known : &branches[branch_count++]) = b;
	announce(device, &b);
	return set_entry("branches", b.address, &b, 1);
}

static int remove_branch(const char *text)
{
	unsigned char address[6];
	if (mac_of(text, address) < 0) return -1;
	for (unsigned int i = 0; i < branch_count; i++) {
		if (memcmp(branches[i].address, address, 6)) continue;
		branches[i] = branches[--branch_count];
		break;
	}
	return set_entry("branches", address, NULL, 0);
}
