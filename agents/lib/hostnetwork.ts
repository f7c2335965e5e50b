/** What nodes change in their own network namespace, and put back when they stop. */
import { isIPv6 } from 'node:net';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { run } from './run.ts';

/** Packets come and go by different ways, with sources that are elsewhere: direct return needs it (R3-12). */
const ASYMMETRIC = {
  'net.ipv4.ip_forward': 1,
  'net.ipv4.conf.all.rp_filter': 0,
  'net.ipv4.conf.default.rp_filter': 0,
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.send_redirects': 0,
  'net.ipv4.conf.all.accept_local': 1,
};

export class HostNetwork {
  readonly #undo: (() => unknown)[] = [];

  /** An address that others reach over routes, not over a link. */
  async addAddress(address: string, device = 'lo'): Promise<void> {
    const [own, at] = isIPv6(address) ? [`${address}/128`, ['dev', device, 'nodad']] : [`${address}/32`, ['dev', device]];
    await this.#ip(['address', 'replace', own, ...at], ['address', 'delete', own, 'dev', device]);
  }

  /** `mtu`: what its packets, and those that are sent to it, may be long. `device`: the gateway is at its other end. */
  async addDefaultRoute(gateway: string, { mtu, device }: { readonly mtu?: number; readonly device?: string } = {}): Promise<void> {
    const way = ['default', 'via', gateway, ...(device === undefined ? [] : ['dev', device, 'onlink'])];
    const family = isIPv6(gateway) ? ['-6'] : [];
    await this.#ip(
      [...family, 'route', 'replace', ...way, ...(mtu === undefined ? [] : ['mtu', 'lock', String(mtu)])],
      [...family, 'route', 'delete', ...way],
    );
  }

  /** Of this namespace; what the kernel does not know is left out. */
  setSysctls(values: Readonly<Record<string, number | string>>): void {
    for (const [name, value] of Object.entries(values)) {
      const file = `/proc/sys/${name.replaceAll('.', '/')}`;
      const before = existsSync(file) ? readFileSync(file, 'utf8').trim().replace(/\s+/, ' ') : String(value);
      if (before === String(value)) continue;
      writeFileSync(file, String(value));
      this.#undo.unshift(() => writeFileSync(file, before));
    }
  }

  /** A router, or a server that sends on what is not its own. */
  forwardAsymmetrically(devices: readonly string[]): void {
    this.setSysctls({
      ...ASYMMETRIC,
      ...Object.fromEntries(
        devices.flatMap((d) => [
          [`net.ipv4.conf.${d}.rp_filter`, 0],
          [`net.ipv4.conf.${d}.send_redirects`, 0],
        ]),
      ),
    });
  }

  /** On a wire no packet is longer than its MTU; between namespaces the kernel would pass on trains of segments as one. */
  async sendAsOnAWire(devices: readonly string[]): Promise<void> {
    for (const device of devices) {
      await run('ethtool', ['-K', device, 'tso', 'off', 'gso', 'off']);
      this.#undo.unshift(() => run('ethtool', ['-K', device, 'tso', 'on', 'gso', 'on']));
    }
  }

  async stop(): Promise<void> {
    for (const undo of this.#undo.splice(0)) {
      try {
        await undo();
      } catch {
        // It is gone already.
      }
    }
  }

  /** `replace` where it may be there from an agent that died. */
  async #ip(done: readonly string[], undone: readonly string[]): Promise<void> {
    await run('ip', done);
    this.#undo.unshift(() => run('ip', undone));
  }
}
