/** Networks of a hub, changes of its metadata, and what they lead to. */
import { attach } from '../../agents/hub/control/attachments.ts';
import { createDomain } from '../../agents/hub/control/configuration.ts';
import { versioned, type Edit } from '../../agents/hub/control/edit.ts';
import { judge, viewsOf } from '../../agents/hub/decision/view.ts';
import { EMPTY, type Ain, type Metadata, type Network } from '../../agents/hub/model.ts';
import { formatAddress, parseAddress, type Address } from '../../agents/lib/prefix.ts';
import { Refusal } from '../../agents/lib/rpc.ts';

export const address = (text: string): Address => parseAddress(text)!;
export const named = (name: string, number: number, prefixes: readonly string[], shard: readonly string[] = ['a1']): Network => ({
  name,
  number,
  kind: 'ivn',
  account: null,
  prefixes,
  gateway: `02:00:00:00:00:0${number}`,
  shard,
  learned: null,
  endpoint: null,
  link: null,
  at: null,
});
export const S = named('S', 1, ['172.16.5.0/24'], ['a1', 'a2']);
export const B = named('B', 2, ['192.168.1.0/24'], ['a1']);
export const C = named('C', 3, ['192.168.1.0/24'], ['a3']);
export const AINS: readonly Ain[] = [
  { name: 'a1', number: 1, zone: 'x', cell: 'main', mac: '02:00:00:00:01:01' },
  { name: 'a2', number: 2, zone: 'x', cell: 'main', mac: '02:00:00:00:01:02' },
  { name: 'a3', number: 3, zone: 'y', cell: 'main', mac: '02:00:00:00:01:03' },
];
export const ains = new Map(AINS.map((a) => [a.name, a]));

/** One change after the other, as the control plane makes them. */
export const changed = (start: Metadata, ...edits: readonly ((m: Metadata) => Edit<unknown>)[]): Metadata =>
  edits.reduce((m, edit) => versioned(edit(m)), start);
export const start: Metadata = { ...EMPTY, networks: [S, B, C] };
export const main = (m: Metadata) => createDomain(m, { domain: 'main' }, ['main']);
export const join =
  (name: string, mappings: { real: string; as: string; viewers?: string[] }[] = []) =>
  (m: Metadata) =>
    attach(m, { network: name, mappings }, 5);
export const code = (work: () => unknown): string => {
  try {
    work();
    return 'done';
  } catch (error) {
    return error instanceof Refusal ? error.code : String(error);
  }
};
export const sees = (m: Metadata, from: Network, source: string, destination: string): string => {
  const views = viewsOf(m);
  const view = views.byName.get(from.name);
  if (!view) return 'not attached';
  const verdict = judge(views, view, address(source), address(destination));
  if (verdict.kind === 'drop') return verdict.reason;
  const copies = verdict.kind === 'copy' ? verdict.copies : [verdict];
  const shown = (is: Address | null, was: string): string => (is ? formatAddress(is) : was);
  return copies.map((c) => `${c.to.name} ${shown(c.source, source)} ${shown(c.destination, destination)}`).join(', ');
};
