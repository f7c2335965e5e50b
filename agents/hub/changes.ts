/** What a node of the hub is told of new metadata: what differs from what it has. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { Type } from 'typebox';
import { nullable } from '../../src/core/config/parts.ts';
import type { Described } from '../../src/core/readonly.ts';
import { EMPTY, metadata, type Metadata } from './model.ts';

/** `base`: version that it goes upon; null: that of a hub without anything. */
export const change = Type.Object({
  base: nullable(Type.Integer({ minimum: 0 })),
  version: Type.Integer({ minimum: 0 }),
  parts: Type.Partial(Type.Omit(metadata, ['version'])),
});
export type Change = Described<typeof change>;

const isAlike = (a: unknown, b: unknown): boolean =>
  a === b ||
  (Array.isArray(a) && Array.isArray(b) && a.length === b.length ? a.every((x, i) => x === b[i] || isDeepStrictEqual(x, b[i])) : false);

/** New metadata, whose parts that are as they were before are the same objects: all that follows compares those alone. */
export function sharing(before: Metadata, after: Metadata): Metadata {
  const was: Readonly<Record<string, unknown>> = before;
  const same = Object.entries(after).filter(([part, value]) => isAlike(was[part], value));
  return { ...after, ...Object.fromEntries(same.map(([part]) => [part, was[part]])) };
}

/** `after` shares with `before` what is the same in both. */
export function changeBetween(before: Metadata | undefined, after: Metadata): Change {
  const was: Readonly<Record<string, unknown>> = before ?? EMPTY;
  const { version, ...parts } = after;
  const differs = ([part, value]: [string, unknown]): boolean => value !== was[part];
  return { base: before?.version ?? null, version, parts: Object.fromEntries(Object.entries(parts).filter(differs)) };
}

/** undefined: it goes upon other metadata. */
export function changed(before: Metadata, { base, version, parts }: Change): Metadata | undefined {
  if (base === null) return { ...EMPTY, ...parts, version };
  return base === before.version ? { ...before, ...parts, version } : undefined;
}
