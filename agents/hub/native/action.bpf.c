/*
 * The fast path of an action implementation node (AIN; R1 section 2), where frames come in (tc, direct action).
 *
 * A frame to a branch's address comes from that branch's client VNI, or from another AIN that has translated it already. From
 * a client: the packet's flow has an action in the cache, which is executed, or it goes to the tap whose other end asks a
 * decision master node (DMN). What comes back by the tap has its action in the cache by then. From another AIN: it is delivered.
 *
 * Nothing here decides: an action is a list of changes and where the packet goes.
 */
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "frames.bpf.h"
#include "action.h"
#include "names.bpf.h"

MAP(configuration, BPF_MAP_TYPE_ARRAY, 1, __u32, struct settings);
MAP(actions, BPF_MAP_TYPE_LRU_HASH, DEFAULT_ACTIONS, struct flow, struct action);
MAP(groups, BPF_MAP_TYPE_LRU_HASH, MAX_GROUPS, struct flow, struct group);
/* By the address of the branch. */
struct mac { __u8 bytes[6]; };
MAP(branches, BPF_MAP_TYPE_HASH, MAX_BRANCHES, struct mac, struct branch);
/* Other AINs of the cell. */
MAP(peers, BPF_MAP_TYPE_HASH, MAX_PEERS, struct mac, __u32);
/* Least generation of metadata that an action of a domain may follow from. */
MAP(domains, BPF_MAP_TYPE_ARRAY, MAX_DOMAINS, __u32, __u32);
MAP(tallies, BPF_MAP_TYPE_PERCPU_ARRAY, MAX_NETWORKS * TALLY_NUMBER, __u32, __u64);
struct bucket { struct bpf_spin_lock lock; __u32 tokens; __u64 filled_ns; };
MAP(buckets, BPF_MAP_TYPE_ARRAY, MAX_NETWORKS, __u32, struct bucket);

enum { AF_INET6 = 10, NEXTHDR_HOP = 0, NEXTHDR_ROUTING = 43, NEXTHDR_FRAGMENT = 44, NEXTHDR_DEST = 60, TOUCH_NS = 10000000, SILENCE_NS = 1000000000 };

INLINE int is_same(const __u8 *a, const __u8 *b)
{
	int other = 0;
	for (int i = 0; i < 6; i++) other |= a[i] ^ b[i];
	return !other;
}

INLINE void tally(__u32 network, enum tally which, __u64 by)
{
	__u32 key = (network & (MAX_NETWORKS - 1)) * TALLY_NUMBER + which;
	__u64 *n = bpf_map_lookup_elem(&tallies, &key);
	if (n) *n += by;
}

INLINE int drop(__u32 network, enum tally which)
{
	tally(network, which, 1);
	return TC_ACT_SHOT;
}

/* R1-16. */
INLINE void work(struct action *a, __u32 network)
{
	__u32 worker = bpf_get_smp_processor_id() + 1;
	if (!a->worker) a->worker = worker;
	if (a->worker != worker) tally(network, TALLY_strayed, 1);
}

/* 1: the flow's worker has the packet, which is not this one. 0: it stays here. */
INLINE int hand_over(struct __sk_buff *skb, const struct settings *c, const struct action *a, __u32 network)
{
	__u64 worker = offset(a->worker - 1);
	if (worker >= MOST_WORKERS || worker == bpf_get_smp_processor_id() || !c->workers[worker]) return 0;
	/* Not taken: its queue is full, or the device has gone. */
	if (bpf_clone_redirect(skb, c->workers[worker], BPF_F_INGRESS)) return 0;
	tally(network, TALLY_steered, 1);
	return 1;
}

/* Offset of the transport header, or 0: it is no packet that has a flow. */
INLINE __u32 see(struct __sk_buff *skb, struct flow *f)
{
	__u32 at;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;
		if (get(skb, ETH_HLEN, &ip, sizeof ip) < 0 || ip.version != 4 || ip.ihl != 5) return 0;
		f->family = 4;
		f->protocol = ip.protocol;
		__builtin_memcpy(f->source, &ip.saddr, 4);
		__builtin_memcpy(f->destination, &ip.daddr, 4);
		at = ETH_HLEN + sizeof ip;
		if (ip.frag_off & bpf_htons(0x1fff)) {
			f->part = FRAGMENT;
			return at;
		}
	} else {
		struct ipv6hdr ip;
		if (get(skb, ETH_HLEN, &ip, sizeof ip) < 0 || ip.version != 6) return 0;
		f->family = 6;
		f->protocol = ip.nexthdr;
		__builtin_memcpy(f->source, &ip.saddr, 16);
		__builtin_memcpy(f->destination, &ip.daddr, 16);
		at = ETH_HLEN + sizeof ip;
		/* Options before the transport header are not read, as those of IPv4. */
		if (ip.nexthdr == NEXTHDR_HOP || ip.nexthdr == NEXTHDR_ROUTING || ip.nexthdr == NEXTHDR_DEST) return 0;
		if (ip.nexthdr == NEXTHDR_FRAGMENT) {
			struct { __u8 next, reserved; __be16 offset; __be32 id; } fragment;
			if (get(skb, at, &fragment, sizeof fragment) < 0) return 0;
			f->protocol = fragment.next;
			at += sizeof fragment;
			if (fragment.offset & bpf_htons(0xfff8)) {
				f->part = FRAGMENT;
				return at;
			}
		}
	}
	if (f->protocol == IPPROTO_TCP || f->protocol == IPPROTO_UDP) {
		struct { __be16 source, destination; } ports;
		if (get(skb, at, &ports, sizeof ports) < 0) return 0;
		f->source_port = ports.source;
		f->destination_port = ports.destination;
	} else if (f->protocol == IPPROTO_ICMP || f->protocol == IPPROTO_ICMPV6) {
		struct { __u8 type, code; __be16 sum, id; } icmp;
		if (get(skb, at, &icmp, sizeof icmp) < 0) return 0;
		f->destination_port = bpf_htons((__u16)(icmp.type << 8 | icmp.code));
		/* Echo, request and reply. */
		if (icmp.type == 8 || icmp.type == 0 || icmp.type == 128 || icmp.type == 129) f->source_port = icmp.id;
	}
	return at;
}

/* Offset of a checksum that covers addresses; 0: the protocol has none. */
INLINE __u32 sum_at(const struct flow *f, __u32 at)
{
	if (f->part == FRAGMENT) return 0;
	switch (f->protocol) {
	case IPPROTO_TCP: return at + offsetof(struct tcphdr, check);
	case IPPROTO_UDP: return at + offsetof(struct udphdr, check);
	case IPPROTO_ICMPV6: return at + 2;
	default: return 0;
	}
}

INLINE int put_address(struct __sk_buff *skb, const struct flow *f, __u32 sum, const __u8 *was, const __u8 *is, __u32 at4, __u32 at6)
{
	__u32 size = f->family == 4 ? 4 : 16;
	/* UDP's 0 says that there is no checksum. */
	__u64 mangled = f->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (f->family == 4) {
		__u32 before, after;
		__builtin_memcpy(&before, was, 4);
		__builtin_memcpy(&after, is, 4);
		if (sum && bpf_l4_csum_replace(skb, sum, before, after, mangled | BPF_F_PSEUDO_HDR | 4) < 0) return -1;
		if (bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), before, after, 4) < 0) return -1;
		return bpf_skb_store_bytes(skb, ETH_HLEN + at4, is, 4, 0);
	}
	__s64 difference = bpf_csum_diff((__be32 *)was, size, (__be32 *)is, size, 0);
	if (sum && bpf_l4_csum_replace(skb, sum, 0, (__u64)difference, mangled | BPF_F_PSEUDO_HDR) < 0) return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN + at6, is, 16, 0);
}

INLINE int put_port(struct __sk_buff *skb, const struct flow *f, __u32 sum, __u32 at, __be16 was, __be16 is)
{
	if (f->part == FRAGMENT || (f->protocol != IPPROTO_TCP && f->protocol != IPPROTO_UDP)) return 0;
	__u64 mangled = f->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (sum && bpf_l4_csum_replace(skb, sum, was, is, mangled | 2) < 0) return -1;
	return bpf_skb_store_bytes(skb, at, &is, sizeof is, 0);
}

/* By what bits one address differs from another: of a mapping of prefixes, it is the same for all of their addresses. */
INLINE void shift(__u8 *address, const __u8 *was, const __u8 *is, __u32 size)
{
	for (__u32 i = 0; i < size; i++) address[i] ^= was[i] ^ is[i];
}

INLINE int is_error(const struct flow *f)
{
	__u8 type = bpf_ntohs(f->destination_port) >> 8;
	if (f->part == FRAGMENT) return 0;
	if (f->protocol == IPPROTO_ICMP) return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
	return f->protocol == IPPROTO_ICMPV6 && type >= 1 && type <= 4;
}

/*
 * The packet that an ICMP error quotes went the other way: its source is the error's destination, its destination is of the network
 * that the error comes from. The checksum of an IPv4 header makes up for its addresses, so that the error's own stays right.
 */
INLINE int put_quoted(struct __sk_buff *skb, const struct flow *f, __u32 at, const struct action *a)
{
	const __u8 *source = a->does & SET_SOURCE ? a->source : f->source, *destination = a->does & SET_DESTINATION ? a->destination : f->destination;
	__u32 quoted = at + sizeof(struct icmp);
	if (f->family == 4) {
		struct iphdr was, is;
		if (get(skb, quoted, &was, sizeof was) < 0) return 0;
		is = was;
		shift((__u8 *)&is.saddr, f->destination, destination, 4);
		shift((__u8 *)&is.daddr, f->source, source, 4);
		is.check = 0;
		is.check = was.ihl == 5 ? header_sum(&is) : was.check;
		return bpf_skb_store_bytes(skb, quoted, &is, sizeof is, 0);
	}
	struct ipv6hdr was, is;
	if (get(skb, quoted, &was, sizeof was) < 0) return 0;
	is = was;
	shift((__u8 *)&is.saddr, f->destination, destination, 16);
	shift((__u8 *)&is.daddr, f->source, source, 16);
	__s64 difference = bpf_csum_diff((__be32 *)&was.saddr, 32, (__be32 *)&is.saddr, 32, 0);
	if (bpf_l4_csum_replace(skb, at + 2, 0, (__u64)difference, 0) < 0) return -1;
	return bpf_skb_store_bytes(skb, quoted, &is, sizeof is, 0);
}

/* One hop less. -1: it has none left. */
INLINE int one_hop_less(struct __sk_buff *skb, const struct flow *f)
{
	void *end, *start = piece(skb, &end);
	if (f->family == 4) {
		struct iphdr *ip = start + ETH_HLEN;
		if ((void *)(ip + 1) > end || ip->ttl <= 1) return -1;
		age(ip);
		return 0;
	}
	struct ipv6hdr *ip = start + ETH_HLEN;
	if ((void *)(ip + 1) > end || ip->hop_limit <= 1) return -1;
	ip->hop_limit--;
	return 0;
}

INLINE int address_frame(struct __sk_buff *skb, const struct output *o)
{
	return bpf_skb_store_bytes(skb, 0, o->to, 12, 0);
}

INLINE void count_output(struct __sk_buff *skb, __u32 from, const struct output *o)
{
	if (o->network) {
		tally(o->network, TALLY_out, 1);
		tally(o->network, TALLY_outBytes, skb->len - ETH_HLEN);
	} else {
		tally(from, TALLY_handed, 1);
	}
}

/* From the addresses that the flow says to others; the flow has them then. */
INLINE int put_addresses(struct __sk_buff *skb, struct flow *f, __u32 sum, const __u8 *source, const __u8 *destination)
{
	if (put_address(skb, f, sum, f->source, source, offsetof(struct iphdr, saddr), offsetof(struct ipv6hdr, saddr)) < 0) return -1;
	if (put_address(skb, f, sum, f->destination, destination, offsetof(struct iphdr, daddr), offsetof(struct ipv6hdr, daddr)) < 0) return -1;
	__builtin_memcpy(f->source, source, 16);
	__builtin_memcpy(f->destination, destination, 16);
	return 0;
}

struct copying {
	struct __sk_buff *skb;
	struct flow *f;
	struct group *group;
	__u32 hub, sum, failed;
};

_Static_assert((MAX_REPLICAS & (MAX_REPLICAS - 1)) == 0, "a mask bounds it");
static long send_copy(__u32 i, struct copying *c)
{
	/* The compiler would drop a bound that the verifier needs. */
	asm volatile("%0 &= %1" : "+r"(i) : "i"(MAX_REPLICAS - 1));
	const struct copy *copy = &c->group->copies[i];
	c->failed = put_addresses(c->skb, c->f, c->sum, copy->source, copy->destination) < 0 || address_frame(c->skb, &copy->output) < 0;
	if (c->failed) return 1;
	count_output(c->skb, c->f->network, &copy->output);
	bpf_clone_redirect(c->skb, c->hub, 0);
	return 0;
}

/* Copies go out one after the other, each with its addresses; the packet has those of the last one then. */
INLINE int replicate(struct __sk_buff *skb, struct flow *f, const struct settings *s, __u32 sum, __u32 count)
{
	struct copying c = { .skb = skb, .f = f, .group = bpf_map_lookup_elem(&groups, f), .hub = s->hub, .sum = sum };
	if (!c.group) return -1;
	bpf_loop(count, send_copy, &c, 0);
	return c.failed ? -1 : 0;
}

INLINE int execute(struct __sk_buff *skb, const struct settings *c, struct flow *f, __u32 at, struct action *a)
{
	__u32 sum = sum_at(f, at), does = a->does;
	struct output output = a->output;
	__u32 replicas = a->replicas;
	if (does & DROP) return drop(f->network, a->output.network == REASON_NO_ROUTE ? TALLY_noRoute : TALLY_denied);
	if (one_hop_less(skb, f) < 0) return drop(f->network, TALLY_expired);
	if (does & REPLICATE && replicate(skb, f, c, sum, replicas) < 0) return drop(f->network, TALLY_failed);
	if (does & SET_SOURCE && put_address(skb, f, sum, f->source, a->source, offsetof(struct iphdr, saddr), offsetof(struct ipv6hdr, saddr)) < 0) return drop(f->network, TALLY_failed);
	if (does & SET_DESTINATION && put_address(skb, f, sum, f->destination, a->destination, offsetof(struct iphdr, daddr), offsetof(struct ipv6hdr, daddr)) < 0) return drop(f->network, TALLY_failed);
	if (does & (SET_SOURCE | SET_DESTINATION) && is_error(f) && put_quoted(skb, f, at, a) < 0) return drop(f->network, TALLY_failed);
	if (does & SET_SOURCE_PORT && put_port(skb, f, sum, at, f->source_port, a->source_port) < 0) return drop(f->network, TALLY_failed);
	if (does & SET_DESTINATION_PORT && put_port(skb, f, sum, at + 2, f->destination_port, a->destination_port) < 0) return drop(f->network, TALLY_failed);
	if (address_frame(skb, &output) < 0) return drop(f->network, TALLY_failed);
	count_output(skb, f->network, &output);
	return bpf_redirect(c->hub, 0);
}

/* Least generation that may rule in a domain. */
INLINE __u32 least_of(__u32 domain)
{
	const __u32 *least = bpf_map_lookup_elem(&domains, &domain);
	return least ? *least : ~0U;
}

/* Misses of a network are bounded: a flood of new flows takes no other network's decisions. */
INLINE int may_ask(const struct settings *c, __u32 network)
{
	__u32 key = network & (MAX_NETWORKS - 1);
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);
	int allowed = 0;
	if (!b) return 0;
	__u64 now = bpf_ktime_get_ns();
	bpf_spin_lock(&b->lock);
	/* Another processor may have read the clock later, and come first. */
	__u64 since = now > b->filled_ns ? now - b->filled_ns : 0;
	if (since > 1000000000ULL) {
		b->tokens = c->miss_burst;
		b->filled_ns = now;
	} else if (c->miss_rate && since * c->miss_rate >= 1000000000ULL) {
		__u64 more = since * c->miss_rate / 1000000000ULL, tokens = b->tokens + more;
		b->tokens = tokens > c->miss_burst ? c->miss_burst : (__u32)tokens;
		b->filled_ns += more * 1000000000ULL / c->miss_rate;
	}
	if (b->tokens > 0) {
		b->tokens--;
		allowed = 1;
	}
	bpf_spin_unlock(&b->lock);
	return allowed;
}

/* From another AIN, which has done all but this. */
INLINE int deliver(struct __sk_buff *skb, const struct settings *c, const struct branch *b)
{
	struct output o = { .network = b->network };
	__builtin_memcpy(o.to, b->gateway, sizeof o.to);
	__builtin_memcpy(o.from, b->address, sizeof o.from);
	if (address_frame(skb, &o) < 0) return drop(b->network, TALLY_failed);
	count_output(skb, b->network, &o);
	return bpf_redirect(c->hub, 0);
}

SEC("tc") int hub_in(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct settings *c = bpf_map_lookup_elem(&configuration, &zero);
	struct { struct mac to, from; } addresses;
	if (!c || get(skb, 0, &addresses, sizeof addresses) < 0) return TC_ACT_OK;
	struct branch *b = bpf_map_lookup_elem(&branches, &addresses.to);
	if (!b) return TC_ACT_OK;
	__u32 network = b->network;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)) return TC_ACT_SHOT;
	int returned = skb->ifindex == c->misses, steered = c->first_worker && skb->ifindex >= c->first_worker && skb->ifindex <= c->last_worker;
	if (!returned && !is_same(addresses.from.bytes, b->gateway)) {
		if (bpf_map_lookup_elem(&peers, &addresses.from)) return deliver(skb, c, b);
		return drop(network, TALLY_strangers);
	}
	if (!returned && !steered) {
		tally(network, TALLY_in, 1);
		tally(network, TALLY_inBytes, skb->len - ETH_HLEN);
	}
	struct flow f = { .network = network };
	__u32 at = see(skb, &f);
	if (!at) return drop(network, TALLY_failed);
	struct action *a = bpf_map_lookup_elem(&actions, &f);
	if (a) {
		__u32 least = least_of(a->domain & (MAX_DOMAINS - 1));
		__u64 now = now_ns();
		/* Signed: the loader's clock is finer than the one that is read here. */
		__s64 made = (__s64)(now - a->made_ns), used = (__s64)(now - a->used_ns);
		/* Its copies may have been forgotten before it. */
		int isWhole = !(a->does & REPLICATE) || bpf_map_lookup_elem(&groups, &f) != NULL;
		if (isWhole && a->generation >= least && made < (__s64)c->verify_ns && used < (__s64)c->idle_ns) {
			/* A line of memory that is written for every packet is one that processors fight for. */
			if (used > TOUCH_NS) a->used_ns = now;
			/* Silent for so long, it may go on elsewhere: none of its packets can be overtaken. */
			if (used > SILENCE_NS) a->worker = 0;
			if (!returned && !steered && hand_over(skb, c, a, network)) return TC_ACT_SHOT;
			int renamed = !returned && a->does & ASK && rename_message(skb, c, &f, at, a, least_of(UNATTACHED));
			if (renamed) tally(network, TALLY_renamed, 1);
			if (returned || renamed || !(a->does & ASK)) {
				if (!returned) tally(network, TALLY_hits, 1), work(a, network);
				return execute(skb, c, &f, at, a);
			}
		}
	}
	/* Its action went while it was on its way: its sender sends it again. */
	if (returned) return drop(network, TALLY_unresolved);
	if (!may_ask(c, network)) return drop(network, TALLY_shed);
	tally(network, TALLY_misses, 1);
	return bpf_redirect(c->misses, 0);
}

char LICENSE[] SEC("license") = "GPL";
