/** One end of a WireGuard tunnel: the kernel's where there is one, else wireguard-go. Keys follow from the secret of the run. */
import { createPublicKey } from 'node:crypto';
import { until } from '../../src/core/until.ts';
import { startDaemon } from './daemon.ts';
import type { Rules } from './filter.ts';
import { run } from './run.ts';
import { derivedKey, derivedPrivateKey } from './secret.ts';

export const WIREGUARD_PORT = 51_820;
const START_MS = 10_000;
/** It leaves a socket in /run/wireguard, by the device's name: in a /run of its own, as nodes of a lab share the machine's. */
const USERSPACE = 'mount -t tmpfs tmpfs /run && mkdir -m 700 /run/wireguard && exec wireguard-go -f "$1"';
/** Through standard input, so that no file has the key; as a pipe, which wg can open, where there may be no /dev/stdin. */
const SETCONF = 'cat | wg setconf "$1" /proc/self/fd/0';

export interface KeyPair {
  readonly privateKey: Buffer;
  readonly publicKey: Buffer;
}

/** Of one end, by its name. Both ends know the secret, so that nobody hands keys about. */
export function tunnelKeys(secret: string, end: string): KeyPair {
  const privateKey = derivedKey(secret, `wireguard ${end}`);
  const key = derivedPrivateKey(secret, `wireguard ${end}`, 'x25519');
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  return { privateKey, publicKey };
}

export interface TunnelEnd {
  readonly device: string;
  /** With its length, "169.254.77.1/30". */
  readonly address: string;
  readonly keys: KeyPair;
  readonly peer: {
    readonly publicKey: Buffer;
    /** Where its datagrams go. */
    readonly endpoint: string;
    /** Sources that are taken from it, and destinations that are sent to it. */
    readonly allowed: readonly string[];
  };
}

/** What `wg setconf` reads. */
export const tunnelConfig = ({ keys, peer }: Pick<TunnelEnd, 'keys' | 'peer'>): string =>
  [
    '[Interface]',
    `PrivateKey = ${keys.privateKey.toString('base64')}`,
    `ListenPort = ${WIREGUARD_PORT}`,
    '[Peer]',
    `PublicKey = ${peer.publicKey.toString('base64')}`,
    `Endpoint = ${peer.endpoint}:${WIREGUARD_PORT}`,
    `AllowedIPs = ${peer.allowed.join(', ')}`,
    '',
  ].join('\n');

/** On the link of a tunnel's ends, at this device, there is nothing else: anybody could have sent it. */
export const tunnelOnly = (device: string): Rules => ({
  input: [`iifname "${device}" udp dport ${WIREGUARD_PORT} accept`, `iifname "${device}" drop`],
  forward: [`iifname "${device}" drop`, `oifname "${device}" drop`],
});

/** Both ends may start in any order. */
export async function startTunnel(workDir: string, end: TunnelEnd): Promise<{ stop(): Promise<void> }> {
  const { device, address } = end;
  // What an agent that died has left.
  await run('ip', ['link', 'delete', device]).catch(() => undefined);
  const isKernels = await run('ip', ['link', 'add', device, 'type', 'wireguard']).then(
    () => true,
    () => false,
  );
  const daemon = isKernels ? null : await startDaemon(workDir, 'unshare', ['--mount', 'sh', '-c', USERSPACE, 'sh', device]);
  const there = (program: string, args: readonly string[], stdin = ''): Promise<string> =>
    daemon ? run('nsenter', ['--mount', '--target', String(daemon.pid), program, ...args], stdin) : run(program, args, stdin);
  const isThere = (): Promise<boolean> =>
    there('wg', ['show', device]).then(
      () => true,
      () => false,
    );
  if (!(await until(isThere, { withinMs: START_MS }))) throw new Error('wireguard-go makes no device');
  await there('sh', ['-c', SETCONF, 'sh', device], tunnelConfig(end));
  await run('ip', ['address', 'replace', address, 'dev', device]);
  await run('ip', ['link', 'set', device, 'up']);
  return {
    stop: async () => {
      if (daemon) await daemon.stop();
      else await run('ip', ['link', 'delete', device]).catch(() => undefined);
    },
  };
}
