/* What the action implementation node's program (action.bpf.c) and its loader (ain.c) agree on. */
#pragma once

enum {
	/* Networks of a hub are numbered from 1; domains from 0. */
	MAX_NETWORKS = 1024, MAX_DOMAINS = 256, MAX_BRANCHES = 1024, MAX_PEERS = 256, MAX_REPLICAS = 32, MAX_GROUPS = 4096,
	/* Flows that are remembered when the loader is told nothing else. */
	DEFAULT_ACTIONS = 1 << 17,
	/* Addresses in answers of name servers. */
	MAX_SIGHTS = 1 << 16,
	/* Of an action. */
	MAX_SIGHTS_TOLD = 32,
	MOST_WORKERS = 32,
	/* The domain whose generation is that of the whole metadata (model.ts). */
	UNATTACHED = 0
};

/* What an action does. ASK: only to packets that come back from a DMN, and to answers of a name server whose addresses are known here. */
enum { SET_SOURCE = 1, SET_DESTINATION = 2, SET_SOURCE_PORT = 4, SET_DESTINATION_PORT = 8, DROP = 16, REPLICATE = 32, ASK = 64 };
/* What of a packet has no ports: a fragment that is not the first. */
enum { WHOLE, FRAGMENT };

/* The key of the cache. Addresses and ports are in network order; an IPv4 address has the first four bytes. */
struct flow {
	/* The client VNI that it came from. */
	unsigned int network;
	unsigned char family, protocol, part, reserved;
	/* Of ICMP echo: identifier, and type and code. Of what has none: 0. */
	unsigned short source_port, destination_port;
	unsigned char source[16], destination[16];
};

/* Where a packet leaves. network 0: to another AIN, which delivers it. */
struct output {
	unsigned char to[6], from[6];
	unsigned int network;
};

struct action {
	/* made: when a DMN last said so. */
	unsigned long long used_ns, made_ns;
	/* Of the metadata that it follows from: older than its domain's, it rules no more. */
	unsigned int domain, generation;
	unsigned short does, replicas, source_port, destination_port;
	unsigned char source[16], destination[16];
	struct output output;
	/* The processor that executed it first, from 1; 0: none has. */
	unsigned int worker;
	/* ASK: the network whose hosts asked, and how many seconds it may remember an address that is changed. */
	unsigned int asker, ttl;
};

/* An address in an answer of a server's network to an asker's; IPv4 has the first four bytes. */
struct looked_at {
	unsigned int server, asker;
	unsigned char family, reserved[3], address[16];
};

/* What a DMN has said of it: the asker sees it under another one, or the same. */
struct sight {
	unsigned long long made_ns;
	/* Of the whole metadata. */
	unsigned int generation, same;
	unsigned char seen[16];
};

/* A further copy of a packet: where it leaves, and its addresses there. */
struct copy {
	struct output output;
	unsigned char source[16], destination[16];
};
struct group {
	struct copy copies[MAX_REPLICAS];
};

/* A client VNI at this AIN: frames to its branch's address came from the network, or go there. */
struct branch {
	unsigned int network;
	unsigned char gateway[6], address[6];
};

struct settings {
	/* Devices: of the hub's network, the tap that misses go to, and those that lead to a worker each (0: there is none). */
	unsigned int hub, misses, workers[MOST_WORKERS], first_worker, last_worker;
	/* Without use, and without a DMN's word, an action is none after so long. */
	unsigned long long idle_ns, verify_ns;
	/* Misses of one network: tokens a second, and at most at once. */
	unsigned int miss_rate, miss_burst;
};

/* Of each network. in: from it; out: to it; handed: to another AIN; steered: to the flow's worker, by another one; strayed: hits by another worker than the flow's. renamed: answers of name servers that no DMN was asked for. noRoute, denied: dropped, for want of a route or by a policy. */
#define TALLIES(X) X(in) X(inBytes) X(out) X(outBytes) X(handed) X(hits) X(misses) X(shed) X(noRoute) X(denied) X(strangers) X(steered) X(strayed) X(expired) X(unresolved) X(failed) X(renamed)
#define TALLY(name) TALLY_##name,
enum tally { TALLIES(TALLY) TALLY_NUMBER };
#undef TALLY
enum { REASON_NO_ROUTE, REASON_DENIED };
