/** Decisions of a hub that there is not, before the first real one: code that has not run a thousand times is ten times as slow. */
import type { KeyObject } from 'node:crypto';
import { parseAddress } from '../../lib/prefix.ts';
import { EMPTY, FIRST_HUB, type Ain, type Metadata, type Network } from '../model.ts';
import { decide } from './decide.ts';
import { viewsOf } from './view.ts';
import { encodeOps, FLOW_BYTES, MESSAGES, readFlow, seal, together, unseal, writeFlow } from './wire.ts';

const TIMES = 1000;
const PACKET = Buffer.alloc(100);

export function warmUp(key: KeyObject): void {
  const at: Ain = { name: 'a', number: 1, zone: 'z', cell: 'main', mac: '02:00:00:00:00:01' };
  const networks = ['10.0.0.0/24', '10.0.1.0/24'].map((prefix, i): Network => {
    const number = i + 1;
    return {
      name: String(number),
      number,
      kind: 'ivn',
      prefixes: [prefix],
      gateway: at.mac,
      shard: [at.name],
      account: null,
      learned: null,
      endpoint: null,
      link: null,
      at: null,
    };
  });
  const metadata: Metadata = {
    ...EMPTY,
    networks,
    domains: [{ name: 'd', number: 1, hub: FIRST_HUB, cells: ['main'], generation: 1 }],
    attachments: networks.map(({ name }) => ({ network: name, domain: 'd', propagates: ['d'], state: 'attached' })),
    mappings: [{ network: '2', real: '10.0.1.0/24', as: '10.0.2.0/24', viewers: null, origin: 'service', approved: true, atMs: 0 }],
  };
  const [views, ains] = [viewsOf(metadata), new Map([[at.name, at]])];
  const [source, destination] = [parseAddress('10.0.0.1')!, parseAddress('10.0.2.1')!];
  for (let i = 1; i <= TIMES; i++) {
    const flow = {
      network: 1,
      family: 4,
      protocol: 17,
      isFragment: false,
      sourcePort: i,
      destinationPort: 1,
      source,
      destination,
    } as const;
    const header = { type: MESSAGES.query, tries: 0, sender: 1, session: 1n, number: BigInt(i) };
    const payload = unseal(key, seal(key, header, writeFlow(flow), PACKET))!.payload;
    const ops = encodeOps(decide(views, ains, at, readFlow(payload)!).ops);
    seal(key, header, together(payload.subarray(0, FLOW_BYTES), ops, payload.subarray(FLOW_BYTES))!);
  }
}
