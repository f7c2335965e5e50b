/**
 * The lease of one machine, kept on that machine. Who wants the machine makes the file of the next number, which only
 * one can; the highest number rules. A token has a random part, so that one of an earlier lease never fits again. A
 * lease that is not renewed in time has expired, by the machine's own monotonic
 * clock: neither its wall clock nor the owner's has a say. The token is the fence: whoever comes with an older one is refused.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { NetrigError } from '../../core/errors.ts';
import { parsed } from '../../core/lightjson.ts';
import type { Described } from '../../core/readonly.ts';
import { formatDurationUs } from '../../core/units.ts';

const request = {
  /** "user@machine (process 4711)" */
  owner: Type.String(),
  purpose: Type.String(),
  ttlMs: Type.Number(),
};
export const leaseRequest = Type.Object(request);
export type LeaseRequest = Described<typeof leaseRequest>;

export const lease = Type.Object({
  ...request,
  token: Type.String(),
  /** Left of it; 0 or less: expired. */
  leftMs: Type.Number(),
});
export type Lease = Described<typeof lease>;

/** As its file has it. `expiresMs`: by the machine's monotonic clock. */
const entry = Type.Object({ ...request, token: Type.String(), expiresMs: Type.Number() });
type Entry = Described<typeof entry>;

export class LeaseBook {
  readonly #dir: string;

  constructor(stateRoot: string) {
    this.#dir = join(stateRoot, '+lease');
  }

  /** Who holds the machine, or held it and has not given it back; null: nobody. */
  current(): Lease | null {
    const entry = this.#latest();
    return entry ? { ...entry, leftMs: entry.expiresMs - nowMs() } : null;
  }

  /** The new lease, and the expired one that it follows. LEASE_HELD. */
  acquire(request: LeaseRequest): { lease: Lease; expired: Lease | null } {
    const before = this.current();
    if (before && before.leftMs > 0) throw held(before);
    const number = Math.max(0, ...this.#numbers()) + 1;
    const entry: Entry = { ...request, token: `${number}.${randomBytes(8).toString('hex')}`, expiresMs: nowMs() + request.ttlMs };
    mkdirSync(this.#dir, { recursive: true });
    const draft = this.#draft(entry);
    try {
      linkSync(draft, join(this.#dir, String(number)));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      const winner = this.current();
      if (winner) throw held(winner);
      return this.acquire(request);
    } finally {
      rmSync(draft, { force: true });
    }
    for (const older of this.#numbers()) if (older < number) rmSync(join(this.#dir, String(older)), { force: true });
    return { lease: { ...entry, leftMs: request.ttlMs }, expired: before };
  }

  renew(token: string, ttlMs: number): void {
    const entry = this.check(token);
    this.#write({ ...entry, ttlMs, expiresMs: nowMs() + ttlMs });
  }

  release(token: string): void {
    this.check(token);
    this.revoke();
  }

  /** Takes it away from whoever holds it. */
  revoke(): void {
    for (const number of this.#numbers()) rmSync(join(this.#dir, String(number)), { force: true });
    try {
      rmdirSync(this.#dir);
    } catch {
      /* it was not there, or somebody is just coming */
    }
  }

  /** LEASE_LOST unless the token is the one that rules. It rules until somebody else's does, also when it has expired. */
  check(token: string | null): Entry {
    const entry = this.#latest();
    if (entry && entry.token === token) return entry;
    const holder = this.current();
    throw token === null && holder
      ? held(holder)
      : new NetrigError('LEASE_LOST', `this machine is ${holder ? `leased to ${describe(holder)}` : 'no longer leased to this run'}`, {
          hint: 'run again, or netrig run --wait 30m',
        });
  }

  #latest(): Entry | null {
    const number = Math.max(0, ...this.#numbers());
    if (number === 0) return null;
    try {
      return parsed(entry, readFileSync(join(this.#dir, String(number)), 'utf8'));
    } catch {
      // Removed in between by a newer one; or damaged: it is nobody's.
      return this.#numbers().includes(number) ? null : this.#latest();
    }
  }

  #numbers(): number[] {
    try {
      return readdirSync(this.#dir)
        .filter((name) => /^[0-9]+$/.test(name))
        .map(Number);
    } catch {
      return [];
    }
  }

  #draft(entry: Entry): string {
    const path = join(this.#dir, `.${randomBytes(6).toString('hex')}`);
    writeFileSync(path, JSON.stringify(entry));
    return path;
  }

  #write(entry: Entry): void {
    renameSync(this.#draft(entry), join(this.#dir, entry.token.split('.')[0] as string));
  }
}

export const describe = ({ owner, purpose, leftMs }: Lease): string =>
  `${owner} for ${purpose}, ${leftMs > 0 ? `${formatDurationUs(leftMs * 1000)} left` : 'expired'}`;

const held = (lease: Lease): NetrigError =>
  new NetrigError('LEASE_HELD', `in use by ${describe(lease)}`, { hint: '--wait 30m waits in line; netrig rig release takes it away' });

/** CLOCK_MONOTONIC: the same for all processes since the machine started, whatever is done to its clock. */
const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);
