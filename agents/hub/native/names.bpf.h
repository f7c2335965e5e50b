/*
 * Answers of name servers (RFC 1035) on their way to an asker who sees addresses otherwise (R1-37): each address becomes what a DMN has
 * said of it. Simple answers only: of what is not known here, or not simple, the packet goes to a DMN, as that of a flow without an action.
 * So do questions for names of addresses, and answers to them; other questions pass.
 */
#pragma once
#include <linux/ipv6.h>
#include <linux/udp.h>
#include "frames.bpf.h"
#include "action.h"

MAP(sights, BPF_MAP_TYPE_LRU_HASH, MAX_SIGHTS, struct looked_at, struct sight);
enum { MESSAGE_BYTES = 1232, PIECE = 32, MAX_RECORDS = 32, MAX_LABELS = 128 };

/* What a processor is at. In a map: the stack is short, and of what is there the verifier follows every value that an offset may have. */
struct reading {
	__u64 now, verify_ns;
	__u32 ttl, least;
	__u32 length, at, changes, sum;
	/* Not zero: this is for a DMN. */
	__u32 failed;
	struct looked_at key;
	__be32 before[PIECE / 4];
	/* A piece of it may be read that goes beyond its end. */
	__u8 bytes[MESSAGE_BYTES + PIECE];
};
MAP(readings, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct reading);
struct turn { struct reading *reading; };

enum { DNS_HEADER = 12, TYPE_A = 1, TYPE_NS = 2, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_MX = 15, TYPE_AAAA = 28, TYPE_SRV = 33, TYPE_OPT = 41 };
enum { ANSWER_FLAG = 0x80, AUTHENTIC_FLAG = 0x20, NAMES_PORT = 53 };

INLINE __u32 byte_at(struct reading *r, __u32 of)
{
	__u64 at = offset(of);
	if (at >= r->length || at >= MESSAGE_BYTES) {
		r->failed = 1;
		return 0;
	}
	return r->bytes[at];
}

INLINE __u32 half_at(struct reading *r, __u32 at)
{
	return byte_at(r, at) << 8 | byte_at(r, at + 1);
}

static long pass_label(__u32 i, struct turn *turn)
{
	struct reading *r = turn->reading;
	__u32 length = byte_at(r, r->at);
	if (r->failed) return 1;
	if (length >= 0xc0) {
		/* It leads back. It is not followed. */
		if (((length & 0x3f) << 8 | byte_at(r, r->at + 1)) >= r->at) r->failed = 1;
		r->at += 2;
		return 1;
	}
	r->at += 1 + length;
	if (length > 63 || i + 1 == MAX_LABELS) r->failed = 1;
	return length == 0 || r->failed != 0;
}

INLINE void pass_name(struct reading *r)
{
	struct turn turn = { r };
	bpf_loop(MAX_LABELS, pass_label, &turn, 0);
}

/* The address at `of`, of 4 or 16 bytes, whose record's time to live is at `ttl_of`, not more than 12 bytes before. */
INLINE void rename_address(struct reading *r, __u32 ttl_of, __u32 of, __u32 size)
{
	__u32 ttl = half_at(r, ttl_of) << 16 | half_at(r, ttl_of + 2);
	__u64 at = offset(of), ttl_at = offset(ttl_of), start = offset(ttl_of & ~3u);
	if (r->failed || at > MESSAGE_BYTES || start > MESSAGE_BYTES || ttl_at > MESSAGE_BYTES) return;
	__u8 *bytes = r->bytes;
	r->key.family = size == 4 ? 4 : 6;
	__builtin_memset(r->key.address, 0, sizeof r->key.address);
	if (size == 4) __builtin_memcpy(r->key.address, bytes + at, 4);
	else __builtin_memcpy(r->key.address, bytes + at, 16);
	const struct sight *s = bpf_map_lookup_elem(&sights, &r->key);
	if (!s || s->generation < r->least || (__s64)(r->now - s->made_ns) >= (__s64)r->verify_ns) {
		r->failed = 1;
		return;
	}
	if (s->same) return;
	__builtin_memcpy(r->before, bytes + start, PIECE);
	if (ttl > r->ttl) {
		__be32 most = bpf_htonl(r->ttl);
		__builtin_memcpy(bytes + ttl_at, &most, 4);
	}
	if (size == 4) __builtin_memcpy(bytes + at, s->seen, 4);
	else __builtin_memcpy(bytes + at, s->seen, 16);
	r->sum = bpf_csum_diff(r->before, PIECE, (__be32 *)(bytes + start), PIECE, r->sum);
	r->changes++;
}

static long pass_record(__u32 i, struct turn *turn)
{
	struct reading *r = turn->reading;
	pass_name(r);
	__u32 fixed = r->at, type = half_at(r, fixed), data = fixed + 10, size = half_at(r, fixed + 8), skip = 0, names = 0;
	if (r->failed || data + size > r->length) return r->failed = 1;
	switch (type) {
	case TYPE_A: case TYPE_AAAA:
		if (size != (type == TYPE_A ? 4 : 16)) return r->failed = 1;
		if (type == TYPE_A) rename_address(r, fixed + 4, data, 4);
		else rename_address(r, fixed + 4, data, 16);
		break;
	case TYPE_OPT: break;
	case TYPE_NS: case TYPE_CNAME: case TYPE_PTR: names = 1; break;
	case TYPE_SOA: names = 2; break;
	case TYPE_MX: skip = 2, names = 1; break;
	case TYPE_SRV: skip = 6, names = 1; break;
	default: return r->failed = 1;
	}
	r->at = data + skip;
	if (names > 0) pass_name(r);
	if (names > 1) pass_name(r);
	if (r->at > data + size) r->failed = 1;
	r->at = data + size;
	return r->failed != 0;
}

/* The name that ends before `end` may be that of an address, which others see otherwise: it is under "arpa". */
INLINE int is_of_address(struct reading *r, __u32 end)
{
	__u64 at = offset(end - 6);
	if (end < DNS_HEADER + 6 || at > MESSAGE_BYTES) return 0;
	const __u8 *b = r->bytes + at;
	return b[0] == 4 && (b[1] | 0x20) == 'a' && (b[2] | 0x20) == 'r' && (b[3] | 0x20) == 'p' && (b[4] | 0x20) == 'a' && b[5] == 0;
}

INLINE int is_part(struct __sk_buff *skb, const struct flow *f, __u32 at)
{
	__be16 fragment;
	if (f->family == 6) return at != ETH_HLEN + sizeof(struct ipv6hdr);
	return get(skb, ETH_HLEN + offsetof(struct iphdr, frag_off), &fragment, sizeof fragment) < 0 || fragment & bpf_htons(0x3fff);
}

/* The verifier of older kernels knows the bounds of a length only where it is checked, and used, in one place. */
INLINE int load_message(struct __sk_buff *skb, __u32 at, struct reading *r)
{
	__u64 size = offset(r->length);
	if (size < DNS_HEADER || size > MESSAGE_BYTES) return -1;
	return bpf_skb_load_bytes(skb, at, r->bytes, size);
}

INLINE int store_message(struct __sk_buff *skb, __u32 at, struct reading *r)
{
	__u64 size = offset(r->length);
	if (size < DNS_HEADER || size > MESSAGE_BYTES) return -1;
	return bpf_skb_store_bytes(skb, at, r->bytes, size, 0);
}

/*
 * `at`: of the UDP header; `least`: generation of the hub's metadata that an address may have been told by. 1: the answer is what its
 * asker may see, or it is a question that has no address in it. 0: a DMN is asked, and the packet is as it was.
 */
INLINE int rename_message(struct __sk_buff *skb, const struct settings *c, const struct flow *f, __u32 at, const struct action *a, __u32 least)
{
	__u32 zero = 0;
	struct udphdr udp;
	struct reading *r = bpf_map_lookup_elem(&readings, &zero);
	/* Several datagrams in one are not told apart here, and parts of one never changed. */
	if (!r || skb->gso_size || f->protocol != IPPROTO_UDP || is_part(skb, f, at) || get(skb, at, &udp, sizeof udp) < 0) return 0;
	at += sizeof udp;
	r->length = bpf_ntohs(udp.len) - sizeof udp;
	/* What is longer than the packet is a datagram in fragments. */
	if (load_message(skb, at, r) < 0) return 0;
	r->now = now_ns(), r->verify_ns = c->verify_ns;
	r->key.server = f->network, r->key.asker = a->asker, r->ttl = a->ttl, r->least = least;
	r->at = DNS_HEADER, r->changes = r->sum = r->failed = 0;
	__u32 records = half_at(r, 6) + half_at(r, 8) + half_at(r, 10);
	if (half_at(r, 4) != 1 || records > MAX_RECORDS) return 0;
	pass_name(r);
	if (r->failed || is_of_address(r, r->at)) return 0;
	if (!(r->bytes[2] & ANSWER_FLAG)) return f->destination_port == bpf_htons(NAMES_PORT);
	if (f->source_port != bpf_htons(NAMES_PORT)) return 0;
	r->at += 4;
	struct turn turn = { r };
	bpf_loop(records, pass_record, &turn, 0);
	if (r->failed || r->at != r->length) return 0;
	if (!r->changes) return 1;
	if (r->bytes[3] & AUTHENTIC_FLAG) {
		__be32 before;
		__builtin_memcpy(&before, r->bytes, 4);
		r->bytes[3] &= ~AUTHENTIC_FLAG;
		r->sum = bpf_csum_diff(&before, 4, (__be32 *)r->bytes, 4, r->sum);
	}
	if (bpf_l4_csum_replace(skb, at - sizeof udp + offsetof(struct udphdr, check), 0, r->sum, BPF_F_MARK_MANGLED_0) < 0) return 0;
	return store_message(skb, at, r) == 0;
}
