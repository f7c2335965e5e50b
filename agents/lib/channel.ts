/**
 * How the agents of one system talk to each other: typed calls both ways over TLS with a pre-shared key (RFC 4279), so
 * that only agents of the same run can connect or listen in. A peer that is silent for too long is gone.
 */
import type { Socket } from 'node:net';
import { connect as connectTls, createServer, type Server, type TLSSocket } from 'node:tls';
import { callsOverLines, type Calls } from '../../src/core/calls.ts';
import { log } from './rpc.ts';
import { derivedKey } from './secret.ts';

const HEARTBEAT_MS = 200;
/** Unless options say otherwise. */
const SILENCE_MS = 1000;
const RECONNECT_MS = 200;
/** Of connections that have not shown the key yet: how long they may take, and how many there may be. */
const HANDSHAKE_MS = 5000;
export const MOST_STRANGERS = 64;
/** Taking the lead takes as long as the first measurements. */
export const CALL_TIMEOUT_MS = 15_000;
/** Forward secrecy: the key of a run that is known later opens nothing. */
const TLS = { ciphers: 'ECDHE-PSK-CHACHA20-POLY1305', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

export interface Peer<Remote extends object> {
  readonly name: string;
  readonly call: Calls<Remote>;
  readonly closed: Promise<void>;
  close(): void;
}

function open<Remote extends object>(socket: TLSSocket, name: string, local: object, silenceMs: number): Peer<Remote> {
  socket.setNoDelay(true);
  // In heartbeats, not in time: what came while this process did not run has not been read yet.
  let silent = 0;
  const heartbeat = setInterval(() => {
    if (++silent > silenceMs / HEARTBEAT_MS) socket.destroy();
    else socket.write('\n');
  }, HEARTBEAT_MS);
  const call = callsOverLines<Remote>({
    input: socket,
    write: (line) => {
      if (!socket.destroyed) socket.write(`${line}\n`);
    },
    local,
    timeoutMs: CALL_TIMEOUT_MS,
    onLine: () => {
      silent = 0;
    },
    // A peer that speaks something else is none.
    onMalformed: () => {
      log('warn', 'malformed message', { peer: name });
      socket.destroy();
    },
  });
  const closed = new Promise<void>((resolve) =>
    socket.once('close', () => {
      clearInterval(heartbeat);
      if (!call.$closed) call.$close(new Error(`the connection to ${name} is closed`));
      resolve();
    }),
  );
  socket.on('error', () => socket.destroy());
  return {
    name,
    call,
    closed,
    close: () => {
      socket.destroy();
    },
  };
}

export interface ListenOptions<Remote extends object> {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  /** What a peer may call; undefined: it is not expected here. */
  readonly serve: (name: string) => object | undefined;
  readonly onPeer: (peer: Peer<Remote>) => void;
  /** A peer that says nothing for so long is gone (default a second). */
  readonly silenceMs?: number;
}

const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

export async function listen<Remote extends object>({
  address,
  port,
  secret,
  serve,
  onPeer,
  silenceMs = SILENCE_MS,
}: ListenOptions<Remote>): Promise<{ close(): void }> {
  const names = new WeakMap<TLSSocket, string>();
  const sockets = new Set<TLSSocket>();
  /** By address and port, in the order in which they came. */
  const strangers = new Map<string, Socket>();
  const server: Server = createServer(
    {
      ...TLS,
      pskCallback: (socket, identity) => {
        names.set(socket, identity);
        return derivedKey(secret, 'channel');
      },
    },
    (socket) => {
      strangers.delete(endOf(socket));
      const name = names.get(socket) ?? '';
      const local = serve(name);
      if (!local) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      onPeer(open<Remote>(socket, name, local, silenceMs));
    },
  );
  server.on('connection', (socket: Socket) => {
    const end = endOf(socket);
    strangers.set(end, socket);
    // TLS has a time limit of its own, which says that it is over and leaves the connection open.
    const patience = setTimeout(() => {
      if (strangers.get(end) === socket) socket.destroy();
    }, HANDSHAKE_MS);
    socket.once('close', () => {
      clearTimeout(patience);
      if (strangers.get(end) === socket) strangers.delete(end);
    });
    if (strangers.size > MOST_STRANGERS) strangers.values().next().value?.destroy();
  });
  // A wrong key, a port scan: their own problem.
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    close: () => {
      server.close();
      for (const socket of [...sockets, ...strangers.values()]) socket.destroy();
    },
  };
}

export interface ConnectOptions<Remote extends object> {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  /** Own name, as the other side knows it; and the other side's. */
  readonly self: string;
  readonly peer: string;
  readonly local: object;
  readonly onPeer: (peer: Peer<Remote>) => void;
  readonly silenceMs?: number;
}

/** Connects, and again whenever the connection is lost, until it is closed. */
export function connect<Remote extends object>({
  address,
  port,
  secret,
  self,
  peer,
  local,
  onPeer,
  silenceMs = SILENCE_MS,
}: ConnectOptions<Remote>): { close(): void } {
  let closing = false;
  let current: TLSSocket | undefined;
  let timer: NodeJS.Timeout | undefined;
  const attempt = () => {
    const socket = connectTls({
      ...TLS,
      host: address,
      port,
      pskCallback: () => ({ psk: derivedKey(secret, 'channel'), identity: self }),
      checkServerIdentity: () => undefined,
    });
    current = socket;
    const patience = setTimeout(() => {
      socket.destroy();
    }, silenceMs);
    socket.once('secureConnect', () => {
      clearTimeout(patience);
      onPeer(open<Remote>(socket, peer, local, silenceMs));
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(patience);
      if (!closing) timer = setTimeout(attempt, RECONNECT_MS);
    });
  };
  attempt();
  return {
    close: () => {
      closing = true;
      clearTimeout(timer);
      current?.destroy();
    },
  };
}
