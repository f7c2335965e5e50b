/*
 * The forwarding unit's data path, in the kernel where packets come in (tc, direct action).
 *
 * edge_in: in front of a PoP. A client's packet gets its packet id, the id's slot says which server is its primary and
 * which PoP its secondary, and it goes to the server with the secondary in its header (R3 section 2, FIG. 1F), or as it is
 * where the slot has only ever been the server's; in plain mode it goes to the other PoP at once (FIG. 1E). What comes from
 * another PoP's tunnel goes to a server, never on. Routes and neighbours are the kernel's; its forwarding path is not walked.
 *
 * server_in: at a server, which has the connections. It keeps what is its own and sends the rest on (the table of section 2).
 * server_out: at a server, where replies are to return by the tunnel that their request came by (R3-13).
 *
 * Inner packets are never changed. Nothing here decides how much goes where: that is in the slots.
 */
#include <linux/tcp.h>
#include <linux/udp.h>
#include "frames.bpf.h"
#include "forward.h"

#define PREFIXES(name, v) struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, MAX_PREFIXES); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct prefix); __type(value, v); } name SEC(".maps")

MAP(configuration, BPF_MAP_TYPE_ARRAY, 1, __u32, struct settings);
/* Two sets of tables, one of which rules: a new version takes effect as a whole. */
MAP(slots, BPF_MAP_TYPE_ARRAY, 2 * MAX_TABLES * MAX_SLOTS, __u32, struct slot);
MAP(active, BPF_MAP_TYPE_ARRAY, 1, __u32, __u32);
MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, COUNTER_NUMBER, __u32, __u64);
/* Who may send by tunnel, or by first hop. */
MAP(peers, BPF_MAP_TYPE_HASH, MAX_PEERS, __u32, __u32);
MAP(homes, BPF_MAP_TYPE_LRU_HASH, MAX_FLOWS, struct flow, struct home);
/* Anycast prefixes to their tables, and sources whose packets are dropped: THREAT or OWN. */
PREFIXES(tables, __u32);
PREFIXES(barred, __u32);

static const __u64 IDLE_NS = 60000000000ULL;
struct gue { __u8 words, protocol; __be16 flags; } __attribute__((packed));
struct hop { __u8 kind, flags; __be16 slot; __be32 target, previous[MAX_PREVIOUS], handoff; } __attribute__((packed));
struct gre { __be16 flags, protocol; } __attribute__((packed));
struct first_hop { struct iphdr ip; struct udphdr udp; struct gue gue; struct hop hop; } __attribute__((packed));
struct gre_tunnel { struct iphdr ip; struct gre gre; } __attribute__((packed));
struct gue_tunnel { struct iphdr ip; struct udphdr udp; struct gue gue; } __attribute__((packed));
_Static_assert(sizeof(struct hop) == 4 * HOP_WORDS, "private data of GUE is in words");

INLINE void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);
	if (n) ++*n;
}

INLINE const struct settings *settings_now(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&configuration, &zero);
}

/* What is known of a packet: whose it is, and whether it begins a connection. */
struct seen {
	struct flow flow;
	/* headers: bytes of IP and TCP, or UDP. */
	__u8 initial, error, fragment, headers;
	__u32 first;
};

/* Reads an IPv4 packet at an offset of the frame. 0: it is none that can be read. */
INLINE int see(struct __sk_buff *skb, __u32 at, struct seen *s)
{
	struct iphdr ip;
	struct { __be16 source, destination; } ports = { 0, 0 };
	__builtin_memset(s, 0, sizeof *s);
	if (get(skb, at, &ip, sizeof ip) < 0 || ip.version != 4 || ip.ihl != 5) return 0;
	s->flow.source = ip.saddr;
	s->flow.destination = ip.daddr;
	s->flow.protocol = ip.protocol;
	if (ip.frag_off & bpf_htons(0x3fff)) {
		s->fragment = 1;
		return 1;
	}
	if (ip.protocol == IPPROTO_ICMP) {
		struct icmp icmp;
		if (get(skb, at + sizeof ip, &icmp, sizeof icmp) < 0) return 0;
		if (icmp.type != ICMP_UNREACHABLE && icmp.type != ICMP_TIME_EXCEEDED && icmp.type != ICMP_PARAMETER_PROBLEM) return 1;
		/* An error belongs to the flow of the packet that it quotes, which went the other way. */
		if (get(skb, at + sizeof ip + sizeof icmp, &ip, sizeof ip) < 0 || ip.ihl != 5) return 0;
		if (get(skb, at + 2 * sizeof ip + sizeof icmp, &ports, sizeof ports) < 0) return 0;
		s->error = 1;
		s->flow = (struct flow){ .source = ip.daddr, .destination = ip.saddr, .source_port = ports.destination, .destination_port = ports.source, .protocol = ip.protocol };
		return 1;
	}
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP) return 1;
	if (get(skb, at + sizeof ip, &ports, sizeof ports) < 0) return 0;
	s->flow.source_port = ports.source;
	s->flow.destination_port = ports.destination;
	s->headers = sizeof ip + sizeof(struct udphdr);
	if (ip.protocol == IPPROTO_TCP) {
		struct { __u8 offset, flags; } tcp = { 0 };
		if (get(skb, at + sizeof ip + 12, &tcp, sizeof tcp) < 0) return 0;
		s->headers = sizeof ip + 4 * (tcp.offset >> 4);
		s->initial = (tcp.flags & 0x12) == 0x02;
		if (s->initial && get(skb, at + sizeof ip + 4, &s->first, sizeof s->first) < 0) return 0;
	}
	return 1;
}

INLINE __u32 mix(__u32 h, __u32 word)
{
	/* MurmurHash3's round (Appleby, public domain). */
	word *= 0xcc9e2d51;
	word = (word << 15) | (word >> 17);
	h ^= word * 0x1b873593;
	h = (h << 13) | (h >> 19);
	return h * 5 + 0xe6546b64;
}

/* R3-11: protocol version, addresses and ports, or addresses only. A seed for each PoP: its choice says nothing of another's. */
INLINE __u32 packet_id(const struct settings *c, const struct flow *f)
{
	__u32 h = mix(mix(mix(c->seed, 4), f->source), f->destination);
	if (!c->pair) h = mix(h, (__u32)f->source_port << 16 | f->destination_port);
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	h ^= h >> 16;
	return h;
}

/* DF stays unset: what fits was checked before, and paths between PoPs may still be narrower. */
INLINE struct iphdr outer(__u32 from, __u32 to, __u8 protocol, __u32 length)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = protocol, .saddr = from, .daddr = to, .tot_len = bpf_htons((__u16)length) };
	ip.check = header_sum(&ip);
	return ip;
}

INLINE struct udphdr outer_udp(__u32 id, __u32 length)
{
	/* The source port carries the packet id, so that paths side by side share the load (RFC 7510's way). */
	return (struct udphdr){ .source = bpf_htons((__u16)(0xc000 | (id & 0x3fff))), .dest = bpf_htons(GUE_PORT), .len = bpf_htons((__u16)length) };
}

/*
 * Makes room between the frame's header and its packet (or takes it away), for an outer header of so many bytes. A packet that
 * was in one tunnel already (the kernel does not forget when its header is taken away) is marked as tunnelled still.
 */
INLINE int resize(struct __sk_buff *skb, int by, __u64 kind)
{
	if (by <= 0) return bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_MAC, 0);
	if (bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | kind) == 0) return 0;
	return bpf_skb_adjust_room(skb, by, BPF_ADJ_ROOM_MAC, 0);
}

INLINE int failed(void)
{
	count(COUNT_errors);
	return TC_ACT_SHOT;
}

/* The next hop to an address. 0: there is none, or it is for the kernel's own path to say what is wrong. */
INLINE int find_way(struct __sk_buff *skb, __u32 to, struct bpf_fib_lookup *way)
{
	*way = (struct bpf_fib_lookup){ .family = AF_INET, .ifindex = skb->ifindex, .ipv4_dst = to };
	long found = bpf_fib_lookup(skb, way, sizeof *way, 0);
	return found == BPF_FIB_LKUP_RET_SUCCESS || found == BPF_FIB_LKUP_RET_NO_NEIGH;
}

INLINE int leave(const struct bpf_fib_lookup *way)
{
	struct bpf_redir_neigh next = { .nh_family = AF_INET, .ipv4_nh = way->ipv4_dst };
	return bpf_redirect_neigh(way->ifindex, &next, sizeof next, 0);
}

INLINE int send(struct __sk_buff *skb, __u32 to)
{
	struct bpf_fib_lookup way;
	return find_way(skb, to, &way) ? leave(&way) : TC_ACT_OK;
}

/* As it is, to a server on a link of this edge: it has the anycast address. -1: it cannot be reached so. */
INLINE int send_bare(struct __sk_buff *skb, __u32 server)
{
	struct bpf_fib_lookup way;
	void *end, *start = piece(skb, &end);
	struct iphdr *ip = start + ETH_HLEN;
	if ((void *)(ip + 1) > end || ip->ttl <= 1 || !find_way(skb, server, &way) || way.ipv4_dst != server) return -1;
	age(ip);
	return leave(&way);
}

/* To a server of this PoP. `had`: bytes of an outer header that are replaced. */
INLINE int to_server(struct __sk_buff *skb, const struct settings *c, __u32 id, __u32 server, struct hop hop, int had)
{
	struct first_hop h = { .gue = { .words = HOP_WORDS, .protocol = IPPROTO_IPIP }, .hop = hop };
	__u32 inner = skb->len - ETH_HLEN - had;
	if (server == 0) {
		count(COUNT_unserved);
		return TC_ACT_SHOT;
	}
	if (had && resize(skb, -had, 0) < 0) return failed();
	if (resize(skb, sizeof h, BPF_F_ADJ_ROOM_ENCAP_L4_UDP) < 0) return failed();
	h.ip = outer(c->self, server, IPPROTO_UDP, inner + sizeof h);
	h.udp = outer_udp(id, inner + sizeof h - sizeof h.ip);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof h, BPF_F_INVALIDATE_HASH) < 0) return failed();
	return send(skb, server);
}

/* Into a tunnel to another PoP. */
INLINE int wrap(struct __sk_buff *skb, const struct settings *c, __u32 id, __u32 remote, int had)
{
	__u32 inner = skb->len - ETH_HLEN - had;
	if (had && resize(skb, -had, 0) < 0) return failed();
	if (c->encap == ENCAP_GRE) {
		struct gre_tunnel h = { .gre = { .protocol = bpf_htons(ETH_P_IP) } };
		if (resize(skb, sizeof h, BPF_F_ADJ_ROOM_ENCAP_L4_GRE) < 0) return failed();
		h.ip = outer(c->tunnel_end, remote, IPPROTO_GRE, inner + sizeof h);
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof h, BPF_F_INVALIDATE_HASH) < 0) return failed();
	} else {
		struct gue_tunnel h = { .gue = { .protocol = IPPROTO_IPIP } };
		if (resize(skb, sizeof h, BPF_F_ADJ_ROOM_ENCAP_L4_UDP) < 0) return failed();
		h.ip = outer(c->tunnel_end, remote, IPPROTO_UDP, inner + sizeof h);
		h.udp = outer_udp(id, inner + sizeof h - sizeof h.ip);
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof h, BPF_F_INVALIDATE_HASH) < 0) return failed();
	}
	return TC_ACT_OK;
}

INLINE int to_pop(struct __sk_buff *skb, const struct settings *c, __u32 id, __u32 remote, int had)
{
	int done = wrap(skb, c, id, remote, had);
	return done == TC_ACT_OK ? send(skb, remote) : done;
}

/* What is said to a client whose packet does not fit into the tunnel: fragmentation needed (RFC 1191), as a router says it. */
struct too_big { struct iphdr ip; struct icmp icmp; struct { struct iphdr ip; __u8 data[8]; } quoted; } __attribute__((packed));

INLINE int refuse_too_big(struct __sk_buff *skb, const struct settings *c)
{
	struct too_big reply = { 0 };
	struct ethhdr eth;
	__u8 mac[ETH_ALEN];
	__u32 sum;
	count(COUNT_tooBig);
	if (get(skb, ETH_HLEN, &reply.quoted, sizeof reply.quoted) < 0 || !(reply.quoted.ip.frag_off & bpf_htons(0x4000))) return TC_ACT_SHOT;
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof reply, 0) < 0 || get(skb, 0, &eth, sizeof eth) < 0) return TC_ACT_SHOT;
	reply.ip = outer(c->self, reply.quoted.ip.saddr, IPPROTO_ICMP, sizeof reply);
	reply.icmp.type = ICMP_UNREACHABLE;
	reply.icmp.code = ICMP_FRAGMENTATION_NEEDED;
	reply.icmp.mtu = bpf_htons((__u16)c->longest);
	sum = (__u32)bpf_csum_diff(0, 0, (__be32 *)&reply.icmp, sizeof reply.icmp + sizeof reply.quoted, 0);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	reply.icmp.checksum = (__u16)~sum;
	__builtin_memcpy(mac, eth.h_dest, ETH_ALEN);
	__builtin_memcpy(eth.h_dest, eth.h_source, ETH_ALEN);
	__builtin_memcpy(eth.h_source, mac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, &eth, sizeof eth, 0) < 0 || bpf_skb_store_bytes(skb, ETH_HLEN, &reply, sizeof reply, BPF_F_INVALIDATE_HASH) < 0) return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

INLINE const struct slot *slot_of(const struct settings *c, __u32 table, __u32 id)
{
	__u32 zero = 0, *set = bpf_map_lookup_elem(&active, &zero);
	__u32 index = (((set ? *set : 0) & 1) * MAX_TABLES + (table & (MAX_TABLES - 1))) * MAX_SLOTS + (id & (c->slots - 1) & (MAX_SLOTS - 1));
	return bpf_map_lookup_elem(&slots, &index);
}

/* OWN, THREAT, or 0. */
INLINE __u32 bar_of(__u32 address)
{
	struct prefix key = { 32, address };
	__u32 *bar = bpf_map_lookup_elem(&barred, &key);
	return bar ? *bar : 0;
}

INLINE __u32 *table_of(__u32 address)
{
	struct prefix key = { 32, address };
	return bpf_map_lookup_elem(&tables, &key);
}

/* From another PoP: it ends here, whatever the slots say (R3-21, R3-22). */
INLINE int from_tunnel(struct __sk_buff *skb, const struct settings *c, __u32 sender, int had)
{
	struct seen s;
	if (!bpf_map_lookup_elem(&peers, &sender)) {
		count(COUNT_strangers);
		return TC_ACT_SHOT;
	}
	if (!see(skb, ETH_HLEN + had, &s)) return failed();
	__u32 *table = table_of(s.flow.destination);
	if (!table) {
		/* A reply that returns by the tunnel is routed to its client (R3-13). */
		if (!c->back || !table_of(s.flow.source)) return failed();
		count(COUNT_returned);
		return resize(skb, -had, 0) < 0 ? failed() : TC_ACT_OK;
	}
	__u32 id = packet_id(c, &s.flow);
	const struct slot *slot = slot_of(c, *table, id);
	if (!slot) return failed();
	count(COUNT_arrived);
	struct hop hop = { .flags = HOP_FINAL, .slot = bpf_htons((__u16)(id & (c->slots - 1))), .target = c->back ? sender : 0, .handoff = slot->handoff };
	return to_server(skb, c, id, slot->server, hop, had);
}

SEC("tc") int edge_in(struct __sk_buff *skb)
{
	const struct settings *c = settings_now();
	struct iphdr ip;
	struct seen s;
	if (!c || skb->protocol != bpf_htons(ETH_P_IP) || get(skb, ETH_HLEN, &ip, sizeof ip) < 0 || ip.ihl != 5) return TC_ACT_OK;
	int tunnelled = ip.protocol == IPPROTO_GRE;
	if (ip.protocol == IPPROTO_UDP) {
		__be16 port = 0;
		tunnelled = get(skb, ETH_HLEN + sizeof ip + 2, &port, sizeof port) == 0 && port == bpf_htons(GUE_PORT);
	}
	__u32 *table = table_of(ip.daddr);
	__u32 bar = bar_of(ip.saddr);
	/* Nobody outside is this edge or one of its servers, nor speaks to those in first hops. */
	if (ip.saddr == c->self || bar == OWN || (tunnelled && bar_of(ip.daddr) == OWN)) {
		count(COUNT_strangers);
		return TC_ACT_SHOT;
	}
	if (ip.daddr == c->self && tunnelled && (ip.frag_off & bpf_htons(0x3fff))) {
		count(COUNT_fragments);
		return TC_ACT_SHOT;
	}
	if (ip.daddr == c->self && ip.protocol == IPPROTO_GRE) return from_tunnel(skb, c, ip.saddr, sizeof(struct gre_tunnel));
	if (ip.daddr == c->self && tunnelled) return from_tunnel(skb, c, ip.saddr, sizeof(struct gue_tunnel));
	if (!table) return TC_ACT_OK;
	count(COUNT_received);
	/* First of all: it costs neither the tunnel nor the receiver anything (R3-32). */
	if (bar) {
		count(COUNT_threats);
		return TC_ACT_SHOT;
	}
	if (!see(skb, ETH_HLEN, &s)) return failed();
	if (s.fragment) {
		/* Only a first fragment has ports: none of them has a packet id. */
		count(COUNT_fragments);
		return TC_ACT_SHOT;
	}
	/* Of a train of segments, each is as long as its headers and gso_size. */
	__u32 length = skb->gso_size ? skb->gso_size + s.headers : skb->len - ETH_HLEN;
	if (length > c->longest) return refuse_too_big(skb, c);
	__u32 id = packet_id(c, &s.flow);
	const struct slot *slot = slot_of(c, *table, id);
	if (!slot) return failed();
	if (!c->preserving && (slot->flags & SLOT_AWAY)) {
		count(COUNT_tunnelled);
		return to_pop(skb, c, id, slot->target, 0);
	}
	count(COUNT_local);
	/* A server that has only ever had the slot alone has nothing to look up. */
	if (slot->server && !slot->handoff && !(c->preserving && (slot->target | slot->previous[0] | slot->previous[1]))) {
		int sent = send_bare(skb, slot->server);
		if (sent >= 0) {
			count(COUNT_direct);
			return sent;
		}
	}
	struct hop hop = { .flags = c->preserving ? slot->flags : HOP_FINAL, .slot = bpf_htons((__u16)(id & (c->slots - 1))) };
	if (c->preserving) {
		hop.target = slot->target;
		hop.previous[0] = slot->previous[0];
		hop.previous[1] = slot->previous[1];
		hop.handoff = slot->handoff;
	}
	return to_server(skb, c, id, slot->server, hop, 0);
}

enum { STRANGE, ENDED, CONNECTED };

/* What this server knows of the connection, beyond listening for it. */
INLINE int connection(struct __sk_buff *skb, const struct seen *s)
{
	struct bpf_sock_tuple tuple = { .ipv4 = { s->flow.source, s->flow.destination, s->flow.source_port, s->flow.destination_port } };
	if (s->flow.protocol != IPPROTO_TCP) return STRANGE;
	struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof tuple.ipv4, BPF_F_CURRENT_NETNS, 0);
	if (!sk) return STRANGE;
	int state = sk->state;
	bpf_sk_release(sk);
	return state == BPF_TCP_LISTEN ? STRANGE : state == BPF_TCP_TIME_WAIT ? ENDED : CONNECTED;
}

INLINE int is_among(const struct hop *h, __u32 remote)
{
	return remote != 0 && (remote == h->target || remote == h->previous[0] || remote == h->previous[1]);
}

/* Where a packet is to be served: a PoP's address, the server that had its slot before, or 0 for here. Section 2's table, and the memory of what was sent where. */
INLINE __u32 decide(struct __sk_buff *skb, const struct settings *c, const struct hop *h, struct seen *s)
{
	__u32 away = h->flags & HOP_AWAY ? h->target : 0;
	int known = connection(skb, s);
	int connected = s->flow.protocol == IPPROTO_TCP && !s->initial;
	/* It stays in this PoP; which server has it may be another's to know. */
	if (h->flags & HOP_FINAL) return connected && known == STRANGE ? h->handoff : 0;
	if (known == CONNECTED) {
		if (!away || (h->flags & HOP_KEEP)) {
			if (away) count(COUNT_kept);
			return 0;
		}
		count(COUNT_drained);
		return away;
	}
	__u64 now = now_ns();
	struct home *home = c->memory ? bpf_map_lookup_elem(&homes, &s->flow) : 0;
	/* Its first packet once more: the other side may have answered already. */
	if (home && s->initial && home->remote && home->first == s->first && is_among(h, home->remote)) return home->remote;
	/* Only UDP is forgotten: a connection may be silent for as long as it likes. */
	if (home && !s->initial && (connected || s->error || now - home->seen_ns < IDLE_NS)) {
		home->seen_ns = now;
		if (home->remote == 0 && (!away || (h->flags & HOP_KEEP))) return 0;
		if (is_among(h, home->remote)) {
			if (home->remote != away) count(COUNT_remembered);
			return home->remote;
		}
		/* It lived where nobody is sent any more: its time is over (R3-36). */
		if (connected || s->error) {
			count(COUNT_drained);
			return 0;
		}
	}
	/* What is still said of a connection that has ended here; a new one may have taken its place, here or elsewhere. */
	if (known == ENDED && !s->initial) return 0;
	if (connected && h->handoff) return h->handoff;
	/* A flow without a connection here lives elsewhere (R3-16); without a memory, the last PoP is the best guess. */
	__u32 to = connected || s->error ? (h->target ? h->target : h->previous[0]) : away;
	/* UDP has no beginning: its first packet seen decides. */
	if (c->memory && !s->error && (s->initial || s->flow.protocol == IPPROTO_UDP) && (to || s->flow.protocol == IPPROTO_UDP)) {
		struct home made = { .remote = to, .first = s->first, .seen_ns = now };
		bpf_map_update_elem(&homes, &s->flow, &made, BPF_ANY);
	} else if (home && s->initial) {
		bpf_map_delete_elem(&homes, &s->flow);
	}
	return to;
}

/* A packet that came without a first hop: its slot is this server's alone, and what begins now lives here. */
INLINE void settle(struct __sk_buff *skb, const struct settings *c)
{
	struct seen s;
	if (!c->preserving || !c->memory || !see(skb, ETH_HLEN, &s) || s.error || (s.flow.protocol != IPPROTO_UDP && !s.initial) || !table_of(s.flow.destination)) return;
	if (s.initial) {
		bpf_map_delete_elem(&homes, &s.flow);
		return;
	}
	struct home *home = bpf_map_lookup_elem(&homes, &s.flow), here = { .seen_ns = now_ns() };
	if (home) *home = here;
	else bpf_map_update_elem(&homes, &s.flow, &here, BPF_ANY);
}

SEC("tc") int server_in(struct __sk_buff *skb)
{
	const struct settings *c = settings_now();
	struct first_hop h;
	struct seen s;
	if (!c || skb->protocol != bpf_htons(ETH_P_IP) || get(skb, ETH_HLEN, &h.ip, sizeof h.ip) < 0) return TC_ACT_OK;
	if (h.ip.daddr != c->self) {
		settle(skb, c);
		return TC_ACT_OK;
	}
	if (h.ip.ihl != 5 || h.ip.protocol != IPPROTO_UDP || get(skb, ETH_HLEN, &h, sizeof h) < 0 || h.udp.dest != bpf_htons(GUE_PORT)) return TC_ACT_OK;
	__u32 sender = h.ip.saddr;
	if (!bpf_map_lookup_elem(&peers, &sender)) {
		count(COUNT_strangers);
		return TC_ACT_SHOT;
	}
	if (h.gue.words != HOP_WORDS || h.gue.protocol != IPPROTO_IPIP || !see(skb, ETH_HLEN + sizeof h, &s)) return failed();
	__u32 remote = decide(skb, c, &h.hop, &s), id = packet_id(c, &s.flow);
	if (remote && remote == h.hop.handoff) {
		h.hop.handoff = 0;
		count(COUNT_handed);
		return to_server(skb, c, id, remote, h.hop, sizeof h);
	}
	if (remote) {
		count(COUNT_forwarded);
		return to_pop(skb, c, id, remote, sizeof h);
	}
	count(COUNT_served);
	if ((h.hop.flags & HOP_FINAL) && h.hop.target) {
		struct home by = { .remote = h.hop.target, .seen_ns = now_ns() };
		bpf_map_update_elem(&homes, &s.flow, &by, BPF_ANY);
	}
	return resize(skb, -(int)sizeof h, 0) < 0 ? failed() : TC_ACT_OK;
}

SEC("tc") int server_out(struct __sk_buff *skb)
{
	const struct settings *c = settings_now();
	struct seen s;
	if (!c || !c->back || skb->protocol != bpf_htons(ETH_P_IP) || !see(skb, ETH_HLEN, &s) || s.fragment) return TC_ACT_OK;
	struct flow asked = { .source = s.flow.destination, .destination = s.flow.source, .source_port = s.flow.destination_port, .destination_port = s.flow.source_port, .protocol = s.flow.protocol };
	struct home *by = bpf_map_lookup_elem(&homes, &asked);
	if (!by || by->remote == 0) return TC_ACT_OK;
	count(COUNT_returned);
	return wrap(skb, c, packet_id(c, &asked), by->remote, 0);
}

char LICENSE[] SEC("license") = "GPL";
