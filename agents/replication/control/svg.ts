/** A gateway as its control plane keeps it, and what follows from that. Pure. */
import { parseDurationUs, parseFraction } from '../../../src/core/units.ts';
import { ppnsNeeded } from '../routing/graph.ts';
import type { AgentConfig } from '../config.ts';
import type { ClassLimits, Gateway, NodeId } from '../protocol.ts';
import type { Requirements } from './operations.ts';

/** The class of those that are in none. */
const EVERYBODY = 'all';
/** Beyond those that the fan-out needs, so that a graph can be chosen and one may fail. */
const SPARE_PPNS = 1;
/** Graph numbers of one gateway. */
const GRAPHS = 32;

export interface Svg {
  readonly name: string;
  readonly number: number;
  readonly account: string | null;
  readonly ppnsWanted: number | null;
  readonly rate: number;
  readonly messageBytes: number;
  producers: NodeId[];
  classes: Record<string, ClassLimits>;
  duplicates: NodeId[];
  ppns: string[];
  /** The first one leads. */
  rdns: string[];
  cell: string | null;
  term: number;
}

interface Limits {
  readonly variation?: string;
  /** Of messages that keep to it. */
  readonly share?: string;
  readonly deviation?: string;
  readonly latency?: string;
}

const DEFAULT_SHARE = 0.9;
/** Limits of a placement group. */
export type Policy = Partial<Pick<ClassLimits, 'variationUs' | 'latencyUs'>>;
type Given = Pick<ClassLimits, 'variationUs' | 'share' | 'deviationUs' | 'latencyUs'>;
const NONE: Given = { variationUs: null, share: DEFAULT_SHARE, deviationUs: null, latencyUs: null };

/** Those that are given. */
export const limitsOf = ({ variation, share, deviation, latency }: Limits): Partial<Given> => ({
  ...(variation === undefined ? {} : { variationUs: parseDurationUs(variation) }),
  ...(share === undefined ? {} : { share: parseFraction(share) }),
  ...(deviation === undefined ? {} : { deviationUs: parseDurationUs(deviation) }),
  ...(latency === undefined ? {} : { latencyUs: parseDurationUs(latency) }),
});

/** Classes as they were asked for; who is in none is in one of its own. `ids` refuses names that are no consumers. */
export function classesOf(
  consumers: readonly NodeId[],
  { classes = {}, ...all }: Requirements,
  ids: (names: readonly string[]) => NodeId[],
): Record<string, ClassLimits> {
  const common = { ...NONE, ...limitsOf(all) };
  const named = Object.entries(classes).map(([name, c]): [string, ClassLimits] => [
    name,
    { consumers: ids(c.consumers), ...common, ...limitsOf(c) },
  ]);
  const grouped = new Set(named.flatMap(([, c]) => c.consumers));
  const rest = consumers.filter((c) => !grouped.has(c));
  return Object.fromEntries(rest.length > 0 || named.length === 0 ? [...named, [EVERYBODY, { consumers: rest, ...common }]] : named);
}

/** With other limits, where some are given: of a class before those of all. */
export function narrowed(
  classes: Readonly<Record<string, ClassLimits>>,
  all: Limits,
  own: Readonly<Record<string, Limits>> = {},
): Record<string, ClassLimits> {
  return Object.fromEntries(Object.entries(classes).map(([name, c]) => [name, { ...c, ...limitsOf(all), ...limitsOf(own[name] ?? {}) }]));
}

/** Under the policy of a placement group: of two limits the narrower one (R0-25). */
export function underPolicy(
  classes: Readonly<Record<string, ClassLimits>>,
  { latencyUs, variationUs }: Policy,
): Record<string, ClassLimits> {
  const narrower = (own: number | null, other: number | null = null): number | null =>
    own === null || other === null ? (own ?? other) : Math.min(own, other);
  return Object.fromEntries(
    Object.entries(classes).map(([name, c]) => [
      name,
      { ...c, latencyUs: narrower(c.latencyUs, latencyUs), variationUs: narrower(c.variationUs, variationUs) },
    ]),
  );
}

export const consumerCount = ({ classes }: Svg): number => Object.values(classes).reduce((n, c) => n + c.consumers.length, 0);

/** As many as the fan-out needs: every PPN has that many places, and all but the entry take one (R0-18, R0-19). */
export function ppnsFor({ fanOut, nodes }: AgentConfig, consumers: number, duplicates: number): number {
  return Math.min(
    nodes.filter((n) => n.role === 'ppn').length,
    ppnsNeeded(consumers, fanOut) + ppnsNeeded(duplicates, fanOut) + SPARE_PPNS,
  );
}

/** What its RDN is told. */
export function gatewayOf(svg: Svg, { scheme, fanOut, periodMs, quantile, nodes }: AgentConfig): Gateway {
  return {
    term: svg.term,
    svg: svg.name,
    firstGraph: 1 + svg.number * GRAPHS,
    scheme,
    producers: svg.producers,
    ppns: svg.ppns.flatMap((name) => nodes.find((n) => n.name === name)?.id ?? []),
    classes: svg.classes,
    duplicates: svg.duplicates,
    fanOut,
    messageBytes: svg.messageBytes,
    messagesPerSecond: svg.rate,
    periodMs,
    quantile,
  };
}

/** What clients are told. */
export const describe = (svg: Svg) => ({
  svg: svg.name,
  ppns: svg.ppns,
  rdns: svg.rdns,
  term: svg.term,
  cell: svg.cell,
  consumers: consumerCount(svg),
});
