/** What nodes change in their own network namespace, and put back when they stop. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A command and the one that undoes it, both of `ip`. */
type Change = readonly [done: readonly string[], undone: readonly string[]];

export class HostNetwork {
  readonly #undo: (readonly string[])[] = [];

  /** `replace` where it may be there from an agent that died. */
  async change(...changes: readonly Change[]): Promise<void> {
    for (const [done, undone] of changes) {
      await run('ip', done);
      this.#undo.unshift(undone);
    }
  }

  /** An address that others reach over routes, not over a link. */
  async addAddress(address: string): Promise<void> {
    await this.change([['address', 'replace', `${address}/32`, 'dev', 'lo'], ['address', 'delete', `${address}/32`, 'dev', 'lo']]);
  }

  /** `mtu`: what its packets, and those that are sent to it, may be long. */
  async addDefaultRoute(gateway: string, mtu?: number): Promise<void> {
    await this.change([['route', 'replace', 'default', 'via', gateway, ...(mtu === undefined ? [] : ['mtu', 'lock', String(mtu)])], ['route', 'delete', 'default', 'via', gateway]]);
  }

  async stop(): Promise<void> {
    for (const command of this.#undo.splice(0)) await run('ip', command).catch(() => undefined);
  }
}

/** On a wire no packet is longer than its MTU; between namespaces the kernel would pass on trains of segments as one. */
export async function sendAsOnAWire(devices: readonly string[]): Promise<void> {
  for (const device of devices) await run('ethtool', ['-K', device, 'tso', 'off', 'gso', 'off'], { env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } });
}

/** Of this namespace; what the kernel does not know is left out. */
export function setSysctls(values: Readonly<Record<string, number | string>>): void {
  for (const [name, value] of Object.entries(values)) {
    const file = `/proc/sys/${name.replaceAll('.', '/')}`;
    if (existsSync(file) && readFileSync(file, 'utf8').trim().replace(/\s+/, ' ') !== String(value)) writeFileSync(file, String(value));
  }
}

/** Packets come and go by different ways, with sources that are elsewhere: direct return needs it (R3-12). */
export const ASYMMETRIC = { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.default.rp_filter': 0, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.default.send_redirects': 0, 'net.ipv4.conf.all.accept_local': 1 };

/** For every interface that is there already. */
export const perDevice = (devices: readonly string[]): Record<string, number> => Object.fromEntries(devices.flatMap((d) => [[`net.ipv4.conf.${d}.rp_filter`, 0], [`net.ipv4.conf.${d}.send_redirects`, 0]]));
