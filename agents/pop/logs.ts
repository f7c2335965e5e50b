/** Lines that the nodes of a PoP system log, and answers of operations, as results read them. */
import { Type } from 'typebox';
import { nullable, opt, record, tuple } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';

const numbers = record(Type.Number());

/**
 * How a connection ended. ok: every request was answered, with what was asked for. reset: the other side broke it. refused: it
 * never opened. timeout: a request was not answered, or was overdue when the run ended. failed: the answer was an error.
 */
export const fate = Type.Enum(['ok', 'reset', 'refused', 'timeout', 'failed']);
export type Fate = Described<typeof fate>;

/** service, port, startedMs, endedMs, fate, requests, servers with blanks between, firstMs, slowestMs, hash */
export const connectionRow = tuple(
  Type.String(),
  Type.Number(),
  Type.Number(),
  Type.Number(),
  fate,
  Type.Number(),
  Type.String(),
  Type.Number(),
  Type.Number(),
  Type.String(),
);
export type ConnectionRow = Described<typeof connectionRow>;
/** Of clients. */
export const connectionsLine = Type.Object({ list: Type.Array(connectionRow) });

/** answeredS, client, port, server, status, path, seconds, number of the request in its connection */
export const accessRow = tuple(
  Type.Number(),
  Type.String(),
  Type.Number(),
  Type.String(),
  Type.Number(),
  Type.String(),
  Type.Number(),
  Type.Number(),
);
/** Of servers. */
export const accessLine = Type.Object({ list: Type.Array(accessRow) });
export const loadLine = Type.Object({ load: Type.Number() });

/** Amounts by service, then by PoP that serves instead. */
export const policies = record(numbers);
/** Of the controller: by PoP. */
export const policiesLine = Type.Object({
  version: Type.Number(),
  sentMs: Type.Number(),
  appliedMs: Type.Number(),
  policies: record(policies),
});

/** Of edges: by service, the PoPs that entries point to, with commas between. */
export const tablesLine = Type.Object({ version: Type.Number(), tables: record(Type.String()) });

/** What GetPolicies answers: entries by PoP, service and the PoP that they point to; null: the PoP does not answer. */
export const policiesAnswer = Type.Object({ pops: record(nullable(Type.Object({ entries: record(numbers) }))) });

const serverFeedback = Type.Object({
  // A check counts where it is missing (R3-29).
  load: opt(nullable(Type.Number())),
  requests: Type.Number(),
  latencyMs: nullable(Type.Number()),
});
/** What PullFeedback answers, by PoP. */
export const feedbackAnswer = record(Type.Object({ servers: record(serverFeedback) }));
export type FeedbackAnswer = Described<typeof feedbackAnswer>;
