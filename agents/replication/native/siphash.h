/* SipHash-2-4 (Aumasson, Bernstein 2012): forged and damaged messages are told from true ones at a third of a microsecond. */
#pragma once
#include <stdint.h>
#include <string.h>

#define ROTL(x, b) (uint64_t)((x) << (b) | (x) >> (64 - (b)))
#define ROUND do { \
	v0 += v1; v1 = ROTL(v1, 13); v1 ^= v0; v0 = ROTL(v0, 32); v2 += v3; v3 = ROTL(v3, 16); v3 ^= v2; \
	v0 += v3; v3 = ROTL(v3, 21); v3 ^= v0; v2 += v1; v1 = ROTL(v1, 17); v1 ^= v2; v2 = ROTL(v2, 32); } while (0)

static uint64_t siphash(const uint64_t key[2], const unsigned char *in, size_t length)
{
	uint64_t v0 = key[0] ^ 0x736f6d6570736575ULL, v1 = key[1] ^ 0x646f72616e646f6dULL;
	uint64_t v2 = key[0] ^ 0x6c7967656e657261ULL, v3 = key[1] ^ 0x7465646279746573ULL;
	uint64_t last = (uint64_t)length << 56, word;
	for (; length >= 8; length -= 8, in += 8) {
		memcpy(&word, in, 8);
		v3 ^= word; ROUND; ROUND; v0 ^= word;
	}
	for (size_t i = 0; i < length; i++) last |= (uint64_t)in[i] << 8 * i;
	v3 ^= last; ROUND; ROUND; v0 ^= last;
	v2 ^= 0xff; ROUND; ROUND; ROUND; ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}
