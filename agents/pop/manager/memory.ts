/** What a management server leaves with its edges, so that its successor knows where connections are (R3 section 3.6). */
import { Type } from 'typebox';
import { nullable, record } from '../../../src/core/config/parts.ts';
import { parsed } from '../../../src/core/lightjson.ts';
import { policies } from '../logs.ts';
import type { Policies } from '../protocol.ts';
import type { Slot, Table } from './table.ts';

/** What its management server must not forget; times that never come survive it. */
export interface Memory {
  readonly version: number;
  readonly policies: Policies;
  readonly tables: Readonly<Record<string, Table>>;
}

const NEVER = 'never';
const time = Type.Union([Type.Number(), Type.Literal(NEVER)]);
/** A Memory in JSON, which has no Infinity. */
const written = Type.Object({
  version: Type.Number(),
  policies,
  tables: record(
    Type.Object({
      slots: Type.Array(
        Type.Object({
          server: nullable(Type.String()),
          target: nullable(Type.String()),
          previousPops: Type.Array(Type.Object({ pop: Type.String(), untilMs: time })),
          keepUntilMs: time,
          handoff: nullable(Type.Object({ server: Type.String(), untilMs: time })),
          modified: Type.Number(),
        }),
      ),
      modifications: Type.Number(),
    }),
  ),
});

export const remembered = (memory: Memory): string => JSON.stringify(memory, (_, value: unknown) => (value === Infinity ? NEVER : value));

/** An Error names what is not as `remembered` writes it. */
export function recalled(text: string): Memory {
  const { version, policies, tables } = parsed(written, text);
  const ms = (time: number | typeof NEVER): number => (time === NEVER ? Infinity : time);
  const slot = (s: (typeof tables)[string]['slots'][number]): Slot => ({
    ...s,
    previousPops: s.previousPops.map(({ pop, untilMs }) => ({ pop, untilMs: ms(untilMs) })),
    keepUntilMs: ms(s.keepUntilMs),
    handoff: s.handoff && { server: s.handoff.server, untilMs: ms(s.handoff.untilMs) },
  });
  const table = ({ slots, modifications }: (typeof tables)[string]): Table => ({ slots: slots.map(slot), modifications });
  return { version, policies, tables: Object.fromEntries(Object.entries(tables).map(([service, t]) => [service, table(t)])) };
}
