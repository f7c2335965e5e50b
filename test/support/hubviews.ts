/** What a hub knows of five networks in one domain; B and C have the same addresses, and others see C under another prefix. */
import { EMPTY, type Metadata, type Network } from '../../agents/hub/model.ts';

const network = (number: number, label: string, prefix: string, endpoint: string | null = null): Network => ({
  name: label,
  number,
  kind: 'ivn',
  account: null,
  prefixes: [prefix],
  gateway: `02:00:00:00:00:0${number}`,
  shard: ['a1'],
  learned: null,
  endpoint,
  link: null,
  at: null,
});
export const metadata: Metadata = {
  ...EMPTY,
  version: 1,
  networks: [
    network(1, 'S', '172.16.5.0/24'),
    network(2, 'B', '192.168.1.0/24'),
    network(3, 'C', '192.168.1.0/24'),
    network(4, 'T', '10.0.0.0/8'),
    network(5, 'N', '100.127.0.0/24', '100.127.0.53'),
  ],
  domains: [{ name: 'main', number: 1, hub: 'hub', cells: ['main'], generation: 1 }],
  attachments: ['S', 'B', 'C', 'T', 'N'].map((label) => ({ network: label, domain: 'main', propagates: ['main'], state: 'attached' })),
  mappings: [{ network: 'C', real: '192.168.1.0/24', as: '12.7.1.0/24', viewers: null, origin: 'client', approved: true, atMs: 0 }],
  intercepts: ['B'],
};
