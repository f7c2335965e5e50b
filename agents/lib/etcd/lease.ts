/** Keeping a lease of an etcd: one message and its answer, on a stream of its own. */
import type { Client } from '@grpc/grpc-js';
import { codec } from './messages.ts';

const PATH = '/etcdserverpb.Lease/LeaseKeepAlive';
const REQUEST = codec('LeaseKeepAliveRequest');
const RESPONSE = codec('LeaseKeepAliveResponse');
const DEADLINE_MS = 2000;

/** Rejects where it has ended, or the server does not answer. */
export function keepLease(client: Client, id: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = client.makeBidiStreamRequest(
      PATH,
      (m: object) => REQUEST.encode(m),
      (b: Buffer) => RESPONSE.decode(b),
      { deadline: Date.now() + DEADLINE_MS },
    );
    stream.on('data', (answer: { readonly TTL: number }) => {
      if (answer.TTL > 0) resolve();
      else reject(new Error('the lease has ended'));
      stream.end();
    });
    stream.on('error', reject);
    stream.write({ ID: id });
  });
}
