/* Actions as DMNs send them: a list of operations, each of which an AIN verifies before it executes any. */
#pragma once
#include "branches.h"

enum { OP_HOP = 1, OP_SOURCE, OP_DESTINATION, OP_SOURCE_PORT, OP_DESTINATION_PORT, OP_OUTPUT, OP_REPLICA, OP_DROP, OP_VALID, OP_ASK, OP_SEES };

/* What a DMN says of addresses in an answer of a name server, beside the action for its packets. */
struct told { unsigned int count; struct looked_at keys[MAX_SIGHTS_TOLD]; struct sight values[MAX_SIGHTS_TOLD]; };

static int is_own(const unsigned char address[6])
{
	return !memcmp(address, own_address, 6) || branch_at(address);
}

/* Where a packet may go: to the network's own gateway from its branch here, or to a branch of another AIN from this AIN's own address. */
static int read_output(const unsigned char *at, struct output *o)
{
	memcpy(o->to, at, 6);
	memcpy(o->from, at + 6, 6);
	o->network = get32(at + 12);
	if (o->network >= MAX_NETWORKS || !is_own(o->from)) return -1;
	/* Addresses of branches begin with "hu" (model.ts). */
	if (o->network == 0) return memcmp(o->from, own_address, 6) || memcmp(o->to, "\x02hu", 3) || branch_at(o->to) ? -1 : 0;
	const struct branch *b = branch_at(o->from);
	return b && b->network == o->network && !memcmp(b->gateway, o->to, 6) ? 0 : -1;
}

/* A list of operations becomes an action, if each of them is one that an AIN knows, and may do. */
static int compile_action(const struct flow *f, const unsigned char *at, size_t length, struct action *a, struct group *g, struct told *t)
{
	size_t address = f->family == 4 ? 4 : 16;
	int outputs = 0, valid = 0;
	memset(a, 0, sizeof *a);
	while (length >= 2) {
		unsigned char op = at[0];
		size_t size = at[1];
		at += 2;
		length -= 2;
		if (size > length) return -1;
		switch (op) {
		case OP_HOP:
			if (size != 0) return -1;
			break;
		case OP_SOURCE: case OP_DESTINATION:
			if (size != address) return -1;
			memcpy(op == OP_SOURCE ? a->source : a->destination, at, size);
			a->does |= op == OP_SOURCE ? SET_SOURCE : SET_DESTINATION;
			break;
		case OP_SOURCE_PORT: case OP_DESTINATION_PORT:
			if (size != 2) return -1;
			memcpy(op == OP_SOURCE_PORT ? &a->source_port : &a->destination_port, at, 2);
			a->does |= op == OP_SOURCE_PORT ? SET_SOURCE_PORT : SET_DESTINATION_PORT;
			break;
		case OP_OUTPUT:
			if (size != 16 || outputs++ || read_output(at, &a->output) < 0) return -1;
			break;
		case OP_REPLICA:
			if (size != 16 + 2 * address || a->replicas >= MAX_REPLICAS || read_output(at, &g->copies[a->replicas].output) < 0) return -1;
			memcpy(g->copies[a->replicas].source, at + 16, address);
			memcpy(g->copies[a->replicas].destination, at + 16 + address, address);
			a->replicas++;
			a->does |= REPLICATE;
			break;
		case OP_DROP:
			if (size != 1 || outputs++) return -1;
			a->does |= DROP;
			a->output.network = at[0];
			break;
		case OP_ASK:
			if (size != 8 || (a->asker = get32(at)) >= MAX_NETWORKS) return -1;
			a->ttl = get32(at + 4);
			a->does |= ASK;
			break;
		case OP_SEES: {
			size_t named = (size - 5) / 2;
			if ((size != 5 + 2 * 4 && size != 5 + 2 * 16) || t->count >= MAX_SIGHTS_TOLD) return -1;
			struct looked_at *key = &t->keys[t->count];
			struct sight *value = &t->values[t->count++];
			*key = (struct looked_at){ .server = f->network, .family = named == 4 ? 4 : 6 };
			*value = (struct sight){ .same = at[0], .generation = get32(at + 1) };
			memcpy(key->address, at + 5, named);
			memcpy(value->seen, at + 5 + named, named);
			break;
		}
		case OP_VALID:
			if (size != 8 || (a->domain = get32(at)) >= MAX_DOMAINS) return -1;
			a->generation = get32(at + 4);
			valid = 1;
			break;
		default:
			return -1;
		}
		at += size;
		length -= size;
	}
	for (unsigned int i = 0; i < t->count; i++) t->keys[i].asker = a->asker;
	return length == 0 && outputs == 1 && valid ? 0 : -1;
}
