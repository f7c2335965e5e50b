/*
 * Messages between an AIN and its DMNs (decision/wire.ts): u8 'H', u8 type, u8 tries, u8 0, u32 sender, u64 session, u64 number, payload, 16
 * bytes of HMAC-SHA-256. The session is random, the number counts queries; an answer repeats both, and is heard once.
 */
#pragma once
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "action.h"
#include "bytes.h"

/* ANSWER: an action and its packet in one. */
enum { QUERY = 1, ACTION, PACKET, PROBE, PROBED, ANSWER };
enum { HEADER_BYTES = 24, TAG_BYTES = 16, FLOW_BYTES = sizeof(struct flow), MAX_FRAME = 9216, MAX_MESSAGE = MAX_FRAME + 256 };
enum { REASSEMBLIES = 64 };
static struct { unsigned int number; unsigned char key[32]; } self;
static uint64_t session;
static int wire_fd = -1;

#define COUNTERS(X) X(queries) X(answers) X(installed) X(returned) X(repeated) X(undecided) X(forged) X(stale) X(malformed) X(segments) X(probes) X(unasked)
#define NAME(c) COUNT_##c,
enum { COUNTERS(NAME) COUNT_NUMBER };
static unsigned long long counts[COUNT_NUMBER];

static int open_wire(unsigned short port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int never = IP_PMTUDISC_DONT, room = 4 << 20;
	wire_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (wire_fd < 0) return refuse("socket");
	/* A query is longer than the packet in it: it is fragmented, so that packets of full size have queries too. */
	setsockopt(wire_fd, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof never);
	setsockopt(wire_fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	return bind(wire_fd, (struct sockaddr *)&any, sizeof any) < 0 ? refuse("port") : 0;
}

static void tag_of(const unsigned char *message, size_t length, unsigned char tag[TAG_BYTES])
{
	unsigned char full[32];
	unsigned int size = sizeof full;
	HMAC(EVP_sha256(), self.key, sizeof self.key, message, length, full, &size);
	memcpy(tag, full, TAG_BYTES);
}

/* Builds the header before `length` bytes of payload, and the tag after it. */
static void send_message(const struct sockaddr_in *to, unsigned char type, unsigned char tries, uint64_t number, unsigned char *message, size_t length)
{
	message[0] = 'H';
	message[1] = type;
	message[2] = tries;
	message[3] = 0;
	put32(message + 4, self.number);
	put64(message + 8, session);
	put64(message + 16, number);
	tag_of(message, HEADER_BYTES + length, message + HEADER_BYTES + length);
	if (sendto(wire_fd, message, HEADER_BYTES + length + TAG_BYTES, 0, (const struct sockaddr *)to, sizeof *to) < 0) counts[COUNT_unasked]++;
}

/* The tag is right. `length`: without it. */
static int is_sealed(const unsigned char *message, size_t length)
{
	unsigned char tag[TAG_BYTES];
	tag_of(message, length, tag);
	return !CRYPTO_memcmp(tag, message + length, TAG_BYTES);
}

/* Actions and packets of several segments, as far as they have come. */
static struct partial { uint64_t number; unsigned int total, got; unsigned char bytes[MAX_FRAME]; } partials[2][REASSEMBLIES];

/*
 * payload: flow, u16 bytes in all, u16 offset, bytes. The bytes of the whole, once all parts have come in their order (they have one
 * pair of ports, so that no processor overtakes another); NULL before. What was lost is asked for again.
 */
static const unsigned char *collect(int kind, uint64_t number, const unsigned char *payload, size_t length, size_t most, size_t *whole)
{
	const unsigned char *bytes = payload + FLOW_BYTES + 4;
	if (length < FLOW_BYTES + 4) {
		counts[COUNT_malformed]++;
		return NULL;
	}
	unsigned int total = get16(payload + FLOW_BYTES), offset = get16(payload + FLOW_BYTES + 2);
	size_t size = length - FLOW_BYTES - 4;
	if (total > most || offset + size > total || size == 0) {
		counts[COUNT_malformed]++;
		return NULL;
	}
	*whole = total;
	if (size < total) {
		counts[COUNT_segments]++;
		struct partial *p = &partials[kind][number % REASSEMBLIES];
		if (offset == 0) p->number = number, p->total = total, p->got = 0;
		if (p->number != number || p->total != total || p->got != offset) return NULL;
		memcpy(p->bytes + offset, bytes, size);
		p->got += (unsigned int)size;
		if (p->got < total) return NULL;
		bytes = p->bytes;
	}
	return bytes;
}
