/**
 * hostd: netrig on a machine of a rig, for as long as one SSH channel lasts. It does there what the orchestrator asks,
 * journals it there, and refuses whoever does not hold the machine's lease. When the channel ends, the commands that
 * it runs are ended too; the lab stays, for the next connection to go on with or to remove.
 *
 * usage: node hostd.cjs RUNTIME_DIR STATE_ROOT ENGINE_SOCKET, with frames (protocol.ts) on stdin and stdout
 */
import { join } from 'node:path';
import { asNetrigError, NetrigError } from '../../../core/errors.ts';
import { parsed } from '../../../core/lightjson.ts';
import type { HostProcess } from '../../hosts/host.ts';
import { LocalMachine } from '../local-machine.ts';
import {
  callRequest,
  CHUNK_BYTES,
  decodeFile,
  encode,
  frameReader,
  isSignal,
  KIND,
  SILENCE_MS,
  spawnRequest,
  type Frame,
  type RemoteError,
} from './protocol.ts';

/** What a command may do after its input has ended, before it is killed. */
const GRACE_MS = 2000;

const [runtimeDir, stateRoot, engine] = process.argv.slice(2) as [string, string, string];
process.env['NETRIG_STATE_DIR'] = stateRoot;
// Agents find the one package that cannot be bundled.
process.env['NODE_PATH'] = join(runtimeDir, 'node_modules');
const machine = new LocalMachine({ node: process.execPath, nativeDir: runtimeDir, stateRoot, engine, mounts: [] }, { name: 'hostd' });
const running = new Map<number, HostProcess>();
const calls = new Map<number, AbortController>();

const send = (kind: number, id: number, payload?: Buffer | string): void => {
  process.stdout.write(encode(kind, id, payload));
};

function fail(id: number, thrown: unknown): void {
  const { code, message, hint } = asNetrigError(thrown);
  send(KIND.error, id, JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) } satisfies RemoteError));
}

async function call(id: number, payload: Buffer): Promise<void> {
  const { method, params } = parsed(callRequest, payload.toString());
  const perform = machine[method].bind(machine) as (...params: unknown[]) => Promise<unknown>;
  const stop = new AbortController();
  calls.set(id, stop);
  const value = await perform(...params, stop.signal).finally(() => calls.delete(id));
  send(KIND.result, id, JSON.stringify(typeof value === 'bigint' ? String(value) : (value ?? null)));
}

function start(id: number, payload: Buffer): void {
  const { argv, ...options } = parsed(spawnRequest, payload.toString());
  const child = machine.spawn(argv, options);
  running.set(id, child);
  child.stdout.on('data', (chunk: Buffer) => send(KIND.stdout, id, chunk));
  child.stderr.on('data', (chunk: Buffer) => send(KIND.stderr, id, chunk));
  void child.exited.then((exit) => {
    running.delete(id);
    send(KIND.exit, id, JSON.stringify(exit));
  });
}

function signal(id: number, text: string): void {
  const name = text.replace(/^-/, '');
  if (!isSignal(name)) throw new NetrigError('INTERNAL', `"${name}" is no signal`);
  if (name === text) running.get(id)?.kill(name);
  else running.get(id)?.killGroup(name);
}

async function give(id: number, path: string): Promise<void> {
  const content = await machine.get(path);
  for (let at = 0; at < content.length; at += CHUNK_BYTES) send(KIND.data, id, content.subarray(at, at + CHUNK_BYTES));
  send(KIND.result, id, 'null');
}

async function take(id: number, payload: Buffer): Promise<void> {
  const { path, content } = decodeFile(payload);
  await machine.put(path, content);
  send(KIND.result, id, 'null');
}

async function handle({ kind, id, payload }: Frame): Promise<void> {
  switch (kind) {
    case KIND.call:
      return call(id, payload);
    case KIND.spawn: {
      start(id, payload);
      return;
    }
    case KIND.stdin:
      return void running.get(id)?.stdin.write(payload);
    case KIND.stdinEnd:
      return void running.get(id)?.stdin.end();
    case KIND.signal: {
      signal(id, payload.toString());
      return;
    }
    case KIND.cancel:
      return calls.get(id)?.abort();
    case KIND.put:
      return take(id, payload);
    case KIND.get:
      return give(id, payload.toString());
    default:
      return undefined;
  }
}

let ending = false;
function end(): void {
  if (ending) return;
  ending = true;
  for (const stop of calls.values()) stop.abort();
  for (const child of running.values()) child.stdin.end();
  setTimeout(
    () => {
      for (const child of running.values()) child.killGroup('SIGKILL');
      process.exit(0);
    },
    running.size > 0 ? GRACE_MS : 0,
  );
}

// A client that is cut off without a word would leave this process, and what it runs, for ever.
let silence = setTimeout(end, SILENCE_MS);
process.stdin.on(
  'data',
  frameReader((frame) => {
    clearTimeout(silence);
    silence = setTimeout(end, SILENCE_MS);
    handle(frame).catch((error: unknown) => fail(frame.id, error));
  }),
);
process.stdin.on('end', end);
process.stdout.on('error', end);
send(KIND.result, 0, 'null');
