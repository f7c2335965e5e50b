/* Decision master nodes of the cell: who is asked about a flow, and who answers probes. */
#pragma once
#include "flow.h"
#include "messages.h"

/* A DMN that answers none of so many probes in a row is asked no more until it answers one. */
enum { MAX_DMNS = 32, MISSED_PROBES = 3 };
static struct dmn { unsigned int number, missed; int known, used; struct sockaddr_in address; uint64_t version; } dmns[MAX_DMNS];
static uint64_t probe_round;
/* Least generations of domains, and the highest of them. */
static unsigned int generations[MAX_DOMAINS], newest;

static struct dmn *dmn_of(unsigned int number)
{
	for (int i = 0; i < MAX_DMNS; i++) if (dmns[i].known && dmns[i].number == number) return &dmns[i];
	return NULL;
}

static int add_dmn(char **w)
{
	unsigned int number = (unsigned int)strtoul(w[0], NULL, 10);
	struct dmn *d = dmn_of(number);
	for (int i = 0; i < MAX_DMNS && !d; i++) if (!dmns[i].known) d = &dmns[i];
	if (!d) return errno = ERANGE, refuse("dmn");
	*d = (struct dmn){ .known = 1, .used = 1, .number = number, .address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)strtoul(w[2], NULL, 10)) } };
	if (inet_pton(AF_INET, w[1], &d->address.sin_addr) != 1) return d->known = d->used = 0, errno = EINVAL, refuse(w[1]);
	return 0;
}

static int remove_dmn(const char *text)
{
	struct dmn *d = dmn_of((unsigned int)strtoul(text, NULL, 10));
	if (d) d->used = 0;
	return 0;
}

static int set_domain(char **w)
{
	unsigned int domain = (unsigned int)strtoul(w[0], NULL, 10), generation = (unsigned int)strtoul(w[1], NULL, 10);
	if (domain >= MAX_DOMAINS) return errno = ERANGE, refuse("domain");
	generations[domain] = generation;
	if (generation > newest) newest = generation;
	return set_entry("domains", &domain, &generation, 1);
}

/*
 * By the flow, of those that answer probes and follow the metadata that rules here (if there are none, of all that answer): the one
 * with the highest weight, so that a loss moves only its own flows.
 */
static const struct dmn *dmn_for(const struct flow *f)
{
	const struct dmn *best = NULL;
	uint32_t most = 0, h = hash_flow(f);
	int fresh = 0;
	for (int i = 0; i < MAX_DMNS; i++) fresh |= dmns[i].used && dmns[i].missed < MISSED_PROBES && dmns[i].version >= newest;
	for (int i = 0; i < MAX_DMNS; i++) {
		const struct dmn *d = &dmns[i];
		if (!d->used || d->missed >= MISSED_PROBES || (fresh && d->version < newest)) continue;
		uint32_t weight = (h ^ (d->number * 2654435769u)) * 2246822519u;
		weight ^= weight >> 15;
		if (!best || weight > most) best = d, most = weight;
	}
	return best;
}

static void probe_dmns(void)
{
	unsigned char message[HEADER_BYTES + TAG_BYTES];
	probe_round++;
	for (int i = 0; i < MAX_DMNS; i++) {
		if (!dmns[i].used) continue;
		if (dmns[i].missed < MISSED_PROBES) dmns[i].missed++;
		counts[COUNT_probes]++;
		send_message(&dmns[i].address, PROBE, 0, probe_round, message, 0);
	}
}

/* Only the answer to the last probe, or the one before it, says that the DMN is there. */
static void hear_probed(struct dmn *dmn, uint64_t number, const unsigned char *payload, size_t length)
{
	if (length != 8 || number + 1 < probe_round || number > probe_round) return;
	dmn->missed = 0;
	dmn->version = get64(payload);
}

/* Health of DMNs, and how fresh what they follow is (R1-15, R1-22). */
static void dump(void)
{
	const char *between = "";
	printf("[");
	for (int i = 0; i < MAX_DMNS; i++) {
		if (!dmns[i].used) continue;
		printf("%s{\"dmn\":%u,\"alive\":%s,\"version\":%llu}", between, dmns[i].number, dmns[i].missed < MISSED_PROBES ? "true" : "false", (unsigned long long)dmns[i].version);
		between = ",";
	}
	printf("]\n");
}
