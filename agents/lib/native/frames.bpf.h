/* Reading frames in programs for the kernel's tc. */
#pragma once
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define INLINE static __always_inline
#define MAP(name, kind, size, k, v) struct { __uint(type, kind); __uint(max_entries, size); __type(key, k); __type(value, v); } name SEC(".maps")

/* As much as is ever read of a packet: an ICMP error in an outer header, and what it quotes. */
enum { HEADERS_BYTES = 160 };

/* linux/icmp.h and sys/socket.h need a C library. */
enum { AF_INET = 2, ICMP_UNREACHABLE = 3, ICMP_FRAGMENTATION_NEEDED = 4, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER_PROBLEM = 12 };
struct icmp { __u8 type, code; __be16 checksum, unused, mtu; } __attribute__((packed));

/* The compiler would check one copy of an offset, and use another, whose bound the verifier does not know. */
INLINE __u64 offset(__u32 at)
{
	__u64 is = at;
	asm volatile("" : "+r"(is));
	return is;
}

/* What of a frame lies in one piece. As compilers like to write this, the verifier does not recognise it. */
INLINE void *piece(const struct __sk_buff *skb, void **end)
{
	void *start;
	__asm__ volatile("%0 = *(u32 *)(%2 + %3)\n%1 = *(u32 *)(%2 + %4)" : "=&r"(start), "=r"(*end) : "r"(skb), "i"(offsetof(struct __sk_buff, data)), "i"(offsetof(struct __sk_buff, data_end)));
	return start;
}

/* Bytes of a frame, without a helper where they can be had so: a call costs more than most of what is done with them. */
INLINE int get(struct __sk_buff *skb, __u32 at, void *to, __u32 size)
{
	void *end, *start = piece(skb, &end);
	if (start + at + size > end) {
		if (bpf_skb_pull_data(skb, skb->len < HEADERS_BYTES ? skb->len : HEADERS_BYTES) < 0) return -1;
		start = piece(skb, &end);
		if (start + at + size > end) return -1;
	}
	__builtin_memcpy(to, start + at, size);
	return 0;
}

/* To a tick: what is timed so is forgotten after seconds. */
INLINE __u64 now_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

INLINE __u16 header_sum(const struct iphdr *ip)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;
	for (int i = 0; i < 10; i++) sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* One hop less, and the header's sum one more (RFC 1624). */
INLINE void age(struct iphdr *ip)
{
	__u32 sum = ip->check + (__u32)bpf_htons(0x0100);
	ip->check = (__u16)(sum + (sum >= 0xffff));
	ip->ttl--;
}
