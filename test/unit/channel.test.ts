import assert from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { connect, listen, MOST_STRANGERS, type Peer } from '../../agents/lib/channel.ts';
import { Refusal } from '../../agents/lib/rpc.ts';
import { callsOverLines } from '../../src/core/calls.ts';
import { derivedKey } from '../../agents/lib/secret.ts';
import { dice, mutatedText } from '../fuzz/mutation.ts';
import { until } from '../support/until.ts';

const secret = '12'.repeat(32);
const at = { address: '127.0.0.1', secret };
interface Server {
  add: (a: number, b: number) => number;
  refuse: () => void;
}
interface Client {
  double: (x: number) => number;
}

const server: Server = {
  add: (a, b) => a + b,
  refuse: () => {
    throw new Refusal('NoCapacity', 'no host is left');
  },
};
const serve = (name: string) => (name === 'a' ? server : undefined);

async function pair(port: number): Promise<{ up: Peer<Server>; down: Peer<Client>; close(): void }> {
  const ups: Peer<Server>[] = [];
  const downs: Peer<Client>[] = [];
  const listening = await listen<Client>({ ...at, port, serve, onPeer: (peer) => downs.push(peer) });
  const connection = connect<Server>({
    ...at,
    port,
    self: 'a',
    peer: 'b',
    local: { double: (x: number) => 2 * x },
    onPeer: (peer) => ups.push(peer),
  });
  await until(() => ups.length > 0 && downs.length > 0, 'both see each other');
  return {
    up: ups[0]!,
    down: downs[0]!,
    close: () => {
      connection.close();
      listening.close();
    },
  };
}

test('calls go both ways, and errors keep their code', async () => {
  const { up, down, ...both } = await pair(5991);
  assert.equal(await up.call.add(1, 2), 3);
  assert.equal(await down.call.double(4), 8);
  assert.equal(down.name, 'a');
  await assert.rejects(
    up.call.refuse(),
    (error: Error & { code: string }) => error.code === 'NoCapacity' && error.message === 'no host is left',
  );
  both.close();
  await up.closed;
  await assert.rejects(up.call.add(1, 2));
});

test('neither another key nor an unknown name gets in', async () => {
  let peers = 0;
  const listening = await listen<Client>({
    ...at,
    port: 5992,
    serve,
    onPeer: () => {
      peers += 1;
    },
  });
  let connected = 0;
  const stranger = connect<Server>({
    ...at,
    secret: '34'.repeat(32),
    port: 5992,
    self: 'a',
    peer: 'b',
    local: {},
    onPeer: () => {
      connected += 1;
    },
  });
  const unknown = connect<Server>({
    ...at,
    port: 5992,
    self: 'z',
    peer: 'b',
    local: {},
    onPeer: (peer) =>
      void peer.call.add(1, 2).then(
        () => {
          connected += 1;
        },
        () => undefined,
      ),
  });
  await sleep(600);
  assert.equal(peers, 0);
  assert.equal(connected, 0);
  stranger.close();
  unknown.close();
  listening.close();
});

test('strangers that say nothing are few, and keep nobody out', async () => {
  const { up, ...both } = await pair(5995);
  const open = new Set<Socket>();
  for (let i = 0; i < 3 * MOST_STRANGERS; i++) {
    const socket = connectTcp(5995, '127.0.0.1').on('error', () => undefined);
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    await new Promise((resolve) => socket.once('connect', resolve));
  }
  await until(() => open.size <= MOST_STRANGERS, 'the oldest are cut');
  assert.equal(await up.call.add(1, 2), 3, 'who is in stays');
  let entered = false;
  const another = connect<Server>({ ...at, port: 5995, self: 'a', peer: 'b', local: {}, onPeer: () => (entered = true) });
  await until(() => entered, 'and who has the key comes in');
  another.close();
  await until(() => open.size === 0, 'all are cut when their time is up').finally(() => both.close());
});

test('a line that does not end is no message', async () => {
  const input = new PassThrough();
  let malformed = 0;
  callsOverLines({ input, write: () => undefined, local: {}, onMalformed: () => (malformed += 1) });
  const piece = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < 70 && !input.destroyed; i++) if (!input.write(piece)) await new Promise((resolve) => setImmediate(resolve));
  await until(() => input.destroyed, 'it is cut');
  assert.equal(malformed, 1);
});

/** Says these lines with the key of the run; resolves when the other side has ended, or has answered a last good call. */
function say(port: number, text: string): Promise<'ended' | 'answered'> {
  return new Promise((resolve) => {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
      maxVersion: 'TLSv1.2',
      pskCallback: () => ({ psk: derivedKey(secret, 'channel'), identity: 'a' }),
      checkServerIdentity: () => undefined,
    });
    let heard = '';
    socket.on('error', () => undefined).once('close', () => resolve('ended'));
    socket.setEncoding('utf8').on('data', (data: string) => {
      heard += data;
      if (!heard.includes('"i":"last"')) return;
      resolve('answered');
      socket.destroy();
    });
    socket.once('secureConnect', () => socket.write(`${text}\n{"t":"q","i":"last","m":"add","a":[1,2]}\n`));
  });
}

test('whoever has the key and speaks nonsense ends no more than its own connection', async () => {
  const { up, ...both } = await pair(5996);
  const good = '{"t":"q","i":"1","m":"add","a":[1,2]}';
  const hostile = [
    '{"t":"s","i":"__proto__","r":1}',
    '{"t":"q","i":"1","m":"__proto__","a":[]}',
    '{"t":"q","i":"1","m":"constructor","a":[]}',
    '{"t":"q","i":"1","m":"then","a":[]}',
    `{"t":"q","i":"1","m":"add","a":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}`,
    '{"t":"s","i":"1","e":{"name":"Refusal","code":{"a":1},"message":[]}}',
    '\u0000\u0001\u0002',
  ];
  const damaged = Array.from({ length: 300 }, (_, seed) => mutatedText(dice(seed + 1), good).replaceAll('\n', ' '));
  for (const line of [...hostile, ...damaged]) await say(5996, line);
  assert.equal(await up.call.add(1, 2), 3);
  both.close();
});

test('a connection that breaks is made again; who is silent is gone', async () => {
  const { up, ...both } = await pair(5993);
  both.close();
  await up.closed;
  let first: Peer<Server> | undefined;
  let count = 0;
  const connection = connect<Server>({
    ...at,
    port: 5994,
    self: 'a',
    peer: 'b',
    local: {},
    onPeer: (peer) => {
      first ??= peer;
      count += 1;
    },
  });
  const early = await listen<Client>({ ...at, port: 5994, serve, onPeer: () => undefined });
  await until(() => count >= 1, 'it connects');
  early.close();
  await first?.closed;
  const late = await listen<Client>({ ...at, port: 5994, serve, onPeer: () => undefined });
  await until(() => count >= 2, 'it connects again');
  connection.close();
  late.close();
});
