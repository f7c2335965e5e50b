/* Numbers in network order, and what is written in words. */
#pragma once
#include <arpa/inet.h>
#include <stdint.h>
#include "programs.h"

static void put32(unsigned char *at, uint32_t v) { v = htonl(v); memcpy(at, &v, 4); }
static void put64(unsigned char *at, uint64_t v) { put32(at, (uint32_t)(v >> 32)); put32(at + 4, (uint32_t)v); }
static uint32_t get32(const unsigned char *at) { uint32_t v; memcpy(&v, at, 4); return ntohl(v); }
static uint64_t get64(const unsigned char *at) { return (uint64_t)get32(at) << 32 | get32(at + 4); }
static uint16_t get16(const unsigned char *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static int mac_of(const char *text, unsigned char mac[6])
{
	char end;
	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &end) == 6 ? 0 : (errno = EINVAL, refuse(text));
}
