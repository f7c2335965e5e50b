/**
 * Forwarding tables (R3 section 3.6): amounts to entries, with as few changes as there can be, least recently modified
 * first; where connections may still live; which server is an entry's primary. Pure.
 */

export interface PreviousPop {
  readonly pop: string;
  /** Connections there are kept until then; Infinity: until they end. */
  readonly untilMs: number;
}

export interface Slot {
  /** Primary destination: a server of this PoP; null: none is alive. */
  readonly server: string | null;
  /** PoP that new connections go to; null: they stay here. */
  readonly target: string | null;
  /** PoPs that it pointed to before, the last one first. */
  readonly previousPops: readonly PreviousPop[];
  /** Connections that were here before it pointed away are kept until then. */
  readonly keepUntilMs: number;
  /** Server that it had before, and that knows connections of it. */
  readonly handoff: { readonly server: string; readonly untilMs: number } | null;
  /** Number of the modification that changed its target last; 0: none did. */
  readonly modified: number;
}

export interface Table {
  readonly slots: readonly Slot[];
  /** Modifications so far. */
  readonly modifications: number;
}

/** An entry of the journal. */
export interface Modification {
  readonly slot: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly number: number;
}

/** What the data path has room for (native/forward.h). */
const MOST_FORMERS = 2;
/** A server that is gone is asked about its connections for so long. */
const LOST_MS = 10_000;

export function emptyTable(slots: number): Table {
  return {
    modifications: 0,
    slots: Array.from({ length: slots }, (): Slot => ({
      server: null,
      target: null,
      previousPops: [],
      keepUntilMs: Infinity,
      handoff: null,
      modified: 0,
    })),
  };
}

/** Slots of each PoP: 5 % of 1024 are 51 (R3 section 3.6). Amounts that exceed the table together are cut, the last ones first. */
export function wantedSlots(amounts: ReadonlyMap<string, number>, slots: number): Map<string, number> {
  const wanted = new Map<string, number>();
  let left = slots;
  for (const [pop, amount] of [...amounts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const count = Math.min(left, Math.round(amount * slots));
    if (count > 0) wanted.set(pop, count);
    left -= count;
  }
  return wanted;
}

export const countOf = ({ slots }: Table, pop: string | null): number => slots.reduce((n, s) => n + (s.target === pop ? 1 : 0), 0);

/** `drainMs` null: connections are kept until they end. */
export function retarget(
  table: Table,
  amounts: ReadonlyMap<string, number>,
  nowMs: number,
  drainMs: number | null,
): { table: Table; journal: Modification[] } {
  const wanted = wantedSlots(amounts, table.slots.length);
  const untilMs = drainMs === null ? Infinity : nowMs + drainMs;
  const oldestFirst = (indices: number[]): number[] => indices.sort((a, b) => table.slots[a]!.modified - table.slots[b]!.modified || a - b);
  const of = (pop: string | null): number[] => [...table.slots.keys()].filter((i) => table.slots[i]!.target === pop);
  const pops = [...new Set([...wanted.keys(), ...table.slots.flatMap((s) => s.target ?? [])])].sort();
  const released = oldestFirst(
    pops.flatMap((pop) => oldestFirst(of(pop)).slice(0, Math.max(0, countOf(table, pop) - (wanted.get(pop) ?? 0)))),
  );
  // What must change anyway serves those that want more; only then local entries do.
  const pool = [...released, ...oldestFirst(of(null))];
  const slots = [...table.slots];
  const journal: Modification[] = [];
  let number = table.modifications;
  const move = (index: number, to: string | null): void => {
    const slot = slots[index]!;
    journal.push({ slot: index, from: slot.target, to, number: ++number });
    slots[index] = moved(slot, to, nowMs, untilMs, number);
  };
  for (const pop of pops) {
    for (let missing = (wanted.get(pop) ?? 0) - countOf(table, pop); missing > 0 && pool.length > 0; missing--) move(pool.shift()!, pop);
  }
  for (const index of pool.filter((i) => slots[i]!.target !== null && slots[i] === table.slots[i])) move(index, null);
  return { table: { slots, modifications: number }, journal };
}

function moved(slot: Slot, to: string | null, nowMs: number, untilMs: number, number: number): Slot {
  const left = slot.target === null ? [] : [{ pop: slot.target, untilMs }];
  const previousPops = [...left, ...slot.previousPops]
    .filter((f, i, all) => f.pop !== to && f.untilMs > nowMs && all.findIndex((g) => g.pop === f.pop) === i)
    .slice(0, MOST_FORMERS);
  return {
    ...slot,
    target: to,
    previousPops,
    keepUntilMs: slot.target === null ? untilMs : to === null ? Infinity : slot.keepUntilMs,
    modified: number,
  };
}

/** Without what has drained (R3-36). The same table where nothing has. */
export function drained(table: Table, nowMs: number): Table {
  const isDue = (s: Slot): boolean => s.previousPops.some((f) => f.untilMs <= nowMs) || (s.handoff !== null && s.handoff.untilMs <= nowMs);
  if (!table.slots.some(isDue)) return table;
  return {
    ...table,
    slots: table.slots.map((s) =>
      isDue(s)
        ? {
            ...s,
            previousPops: s.previousPops.filter((f) => f.untilMs > nowMs),
            handoff: s.handoff && s.handoff.untilMs > nowMs ? s.handoff : null,
          }
        : s,
    ),
  };
}

/** When `drained`, or what `isKept` says, changes next; Infinity: never. */
export const nextDrainMs = ({ slots }: Table, nowMs: number): number =>
  slots.reduce(
    (next, s) =>
      Math.min(
        next,
        ...[s.keepUntilMs, ...s.previousPops.map((f) => f.untilMs), s.handoff?.untilMs ?? Infinity].filter((ms) => ms > nowMs),
      ),
    Infinity,
  );

/** Are connections of this entry that are here kept here? */
export const isKept = (slot: Slot, nowMs: number): boolean => slot.keepUntilMs > nowMs;

/**
 * Every entry has a server that it belongs to, in the order of `homes`. While that one is gone another has it, evenly; when it
 * is back it takes the entry again, and the other goes on serving the connections that it has.
 */
export function withServers(
  table: Table,
  homes: readonly string[],
  alive: ReadonlySet<string>,
  nowMs: number,
  drainMs: number | null,
): Table {
  const untilMs = drainMs === null ? Infinity : nowMs + drainMs;
  const load = new Map(homes.filter((name) => alive.has(name)).map((name) => [name, 0]));
  const take = (name: string): string => {
    load.set(name, (load.get(name) ?? 0) + 1);
    return name;
  };
  const least = (): string | null =>
    [...load].reduce<[string, number] | null>((best, entry) => (best === null || entry[1] < best[1] ? entry : best), null)?.[0] ?? null;
  const stays = (i: number): string | null =>
    [homes[i % homes.length] ?? null, table.slots[i]!.server].find((name) => name !== null && alive.has(name)) ?? null;
  const chosen = table.slots.map((_, i) => {
    const name = stays(i);
    return name === null ? null : take(name);
  });
  const slots = table.slots.map((slot, i): Slot => {
    const other = chosen[i] === null ? least() : null;
    const server = chosen[i] ?? (other === null ? null : take(other));
    // One that is lost may only have been silent: it is asked for a while.
    const handoff =
      server !== slot.server && slot.server !== null
        ? { server: slot.server, untilMs: alive.has(slot.server) ? untilMs : nowMs + LOST_MS }
        : slot.handoff && slot.handoff.server !== server
          ? slot.handoff
          : null;
    return server === slot.server && handoff === slot.handoff ? slot : { ...slot, server, handoff };
  });
  return slots.every((slot, i) => slot === table.slots[i]) ? table : { ...table, slots };
}
