/** Operations of the control plane as changes of the metadata. Pure: what is refused changes nothing. */
import type { Static } from 'typebox';
import type { Domain, Mapping, Metadata, Network } from '../model.ts';
import { refuse } from '../../lib/params.ts';
import type { CONTROL_OPERATIONS } from '../operations.ts';

/** Of an operation. */
export type Params<O extends keyof typeof CONTROL_OPERATIONS> = Static<(typeof CONTROL_OPERATIONS)[O]>;

/** A change, and the domains that it concerns; null: all. */
export interface Edit<Answer> {
  readonly metadata: Metadata;
  readonly concerns: ReadonlySet<string> | null;
  readonly answer: Answer;
}

export const networkOf = ({ networks }: Metadata, name: string): Network =>
  networks.find((n) => n.name === name) ??
  refuse('UnknownNetwork', `no isolated network "${name}"; there are: ${networks.map((n) => n.name).join(', ')}`);

/** `name` undefined: the only one. */
export function hubOf({ hubs }: Metadata, name: string | undefined): string {
  const [only, ...more] = hubs;
  if (name === undefined)
    return only !== undefined && more.length === 0 ? only : refuse('InvalidRequest', 'there are several hubs: which?');
  return hubs.includes(name) ? name : refuse('UnknownVTH', `no hub "${name}"; there are: ${hubs.join(', ')}`);
}

/** `name` undefined: the only one, of the hub if that is given. */
export function domainOf(metadata: Metadata, name: string | undefined, hub?: string): Domain {
  const domains = metadata.domains.filter((d) => hub === undefined || d.hub === hub);
  const [only, ...more] = domains;
  if (name === undefined) return only && more.length === 0 ? only : refuse('InvalidRequest', 'the hub has several routing domains: which?');
  return (
    domains.find((d) => d.name === name) ??
    refuse('UnknownDomain', `no routing domain "${name}"; there are: ${domains.map((d) => d.name).join(', ') || 'none'}`)
  );
}

/** A network has what the mapping is of; a client's, of what comes over a link, waits for it. */
export const isNeeded = ({ networks }: Metadata, { network, real, origin }: Mapping): boolean =>
  networks.some((n) => n.name === network && (n.prefixes.includes(real) || (n.link !== null && origin === 'client')));

/** As it is to be stored: the next version, and a new generation of every domain that is concerned. */
export function versioned({ metadata, concerns }: Edit<unknown>): Metadata {
  const version = metadata.version + 1;
  return {
    ...metadata,
    version,
    domains: metadata.domains.map((d) => (concerns === null || concerns.has(d.name) ? { ...d, generation: version } : d)),
  };
}
