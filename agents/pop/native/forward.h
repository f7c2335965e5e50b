/* What the forwarding unit's programs in the kernel (forward.bpf.c) and their loader (forwarder.c) agree on. */
#pragma once

enum {
	MAX_TABLES = 16, MAX_SLOTS = 4096, MAX_PREVIOUS = 2, MAX_PEERS = 256, MAX_PREFIXES = 4096, MAX_FLOWS = 1 << 20,
	GUE_PORT = 6080,
	/* Slots. AWAY: new connections go to the target. KEEP: connections that are here stay here. */
	SLOT_AWAY = 1, SLOT_KEEP = 2,
	/* First hop, from a forwarding unit to a server. FINAL: came by a tunnel, or is not to be forwarded; served there. */
	HOP_AWAY = 1, HOP_KEEP = 2, HOP_FINAL = 4, HOP_WORDS = 5,
	ENCAP_GRE = 0, ENCAP_GUE = 1
};

/* Addresses are in network order. 0: none. handoff: the server that had the slot before, which knows its connections. */
struct slot {
	unsigned int server, target, previous[MAX_PREVIOUS], handoff, flags;
};

struct settings {
	/* self: where first hops begin and end. tunnel_end: its PoP's edge, where tunnels begin and end. */
	unsigned int self, tunnel_end, seed, slots;
	/* Booleans. preserving: servers decide by their connections. pair: the packet id has no ports. memory: servers remember where they sent connections. back: replies return by the tunnel. */
	unsigned int encap, preserving, pair, memory, back;
	/* Longest packet of a client, in bytes of IP. */
	unsigned int longest;
};

struct prefix {
	unsigned int length, address;
};

/* The five fields of a packet id, as the kernel looks up sockets: from the remote end to this one. */
struct flow {
	unsigned int source, destination;
	unsigned short source_port, destination_port;
	unsigned int protocol;
};

/* Where a flow lives. remote 0: here. */
struct home {
	/* first: sequence number that the connection began with. */
	unsigned int remote, first;
	unsigned long long seen_ns;
};

/* In `barred`, sources at an edge: its own servers, whom nobody outside is, and threats. */
enum { OWN = 1, THREAT = 2 };

#define COUNTERS(X) \
	X(received) X(local) X(direct) X(tunnelled) X(arrived) X(served) X(forwarded) X(kept) X(remembered) X(threats) X(fragments) X(tooBig) X(strangers) \
	X(drained) X(handed) X(returned) X(unserved) X(errors)
#define NAME(counter) COUNT_##counter,
enum counter { COUNTERS(NAME) COUNTER_NUMBER };
#undef NAME
