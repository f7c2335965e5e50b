/**
 * The lease of one machine, kept on that machine. One row of an SQLite file, which is read and changed in one transaction:
 * two that want the machine, or a death at any moment, leave it with one owner or with none. A token is never given twice. A
 * lease that is not renewed in time has expired, by the machine's own monotonic clock: neither its wall clock nor the
 * owner's has a say; of before the machine's last start there is none. The token is the fence: whoever comes with an older
 * one is refused.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Type } from 'typebox';
import { NetrigError } from '../../core/errors.ts';
import { checked } from '../../core/lightjson.ts';
import type { Described } from '../../core/readonly.ts';
import { formatDurationUs } from '../../core/units.ts';
import { bootId } from '../labs/journal.ts';

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

/** As its row has it. `expiresMs`: by the machine's monotonic clock since the start that `boot` names. */
const entry = Type.Object({ ...request, token: Type.String(), expiresMs: Type.Number(), boot: Type.String() });
type Entry = Described<typeof entry>;

/** Others finish what they do in microseconds. */
const BUSY_MS = 5000;
const TABLE = `CREATE TABLE IF NOT EXISTS lease
  (id INTEGER PRIMARY KEY CHECK (id = 1), owner TEXT, purpose TEXT, ttlMs REAL, token TEXT, expiresMs REAL, boot TEXT) STRICT`;

/** What time it is, and since which start of the machine. */
export interface LeaseClock {
  /** Never steps. */
  nowMs(): number;
  boot(): string;
}

/** CLOCK_MONOTONIC: the same for all processes since the machine started, whatever is done to its clock. */
const MACHINE_CLOCK: LeaseClock = { nowMs: () => Number(process.hrtime.bigint() / 1_000_000n), boot: bootId };

export class LeaseBook {
  readonly #dir: string;
  readonly #clock: LeaseClock;

  constructor(stateRoot: string, clock = MACHINE_CLOCK) {
    this.#dir = join(stateRoot, '+lease');
    this.#clock = clock;
  }

  /** Who holds the machine, or held it and has not given it back; null: nobody. */
  current(): Lease | null {
    if (!existsSync(this.#file)) return null;
    return this.#transaction((db) => this.#leaseOf(this.#read(db)));
  }

  /** The new lease, and the expired one that it follows. LEASE_HELD. */
  acquire(request: LeaseRequest): { lease: Lease; expired: Lease | null } {
    const token = randomBytes(16).toString('hex');
    return this.#transaction((db) => {
      const before = this.#leaseOf(this.#read(db));
      if (before && before.leftMs > 0) throw held(before);
      db.prepare('INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?, ?)').run(
        request.owner,
        request.purpose,
        request.ttlMs,
        token,
        this.#clock.nowMs() + request.ttlMs,
        this.#clock.boot(),
      );
      return { lease: { ...request, token, leftMs: request.ttlMs }, expired: before };
    });
  }

  /** LEASE_LOST. */
  renew(token: string, ttlMs: number): void {
    this.#transaction((db) => {
      this.#require(db, token);
      db.prepare('UPDATE lease SET ttlMs = ?, expiresMs = ?').run(ttlMs, this.#clock.nowMs() + ttlMs);
    });
  }

  /** LEASE_LOST. */
  release(token: string): void {
    this.#transaction((db) => {
      this.#require(db, token);
      db.exec('DELETE FROM lease');
    });
  }

  /** Takes it away from whoever holds it. */
  revoke(): void {
    if (existsSync(this.#file)) this.#transaction((db) => db.exec('DELETE FROM lease'));
  }

  /** LEASE_LOST unless the token is the one that rules. It rules until somebody else's does, also when it has expired. */
  check(token: string | null): void {
    this.#transaction((db) => {
      this.#require(db, token);
    });
  }

  #require(db: DatabaseSync, token: string | null): void {
    const entry = this.#read(db);
    if (entry && entry.token === token && entry.boot === this.#clock.boot()) return;
    const holder = this.#leaseOf(entry);
    if (token === null && holder) throw held(holder);
    throw new NetrigError('LEASE_LOST', `this machine is ${holder ? `leased to ${describe(holder)}` : 'no longer leased to this run'}`, {
      hint: 'run again, or netrig run --wait 30m',
    });
  }

  #leaseOf(entry: Entry | null): Lease | null {
    if (!entry) return null;
    const { owner, purpose, ttlMs, token, expiresMs, boot } = entry;
    return { owner, purpose, ttlMs, token, leftMs: boot === this.#clock.boot() ? expiresMs - this.#clock.nowMs() : 0 };
  }

  #read(db: DatabaseSync): Entry | null {
    const row = db.prepare('SELECT owner, purpose, ttlMs, token, expiresMs, boot FROM lease').get();
    try {
      return row === undefined ? null : checked(entry, { ...row });
    } catch {
      return null; // of another version of netrig: it is nobody's
    }
  }

  get #file(): string {
    return join(this.#dir, 'lease.db');
  }

  /** All of the work or nothing of it; nobody else's in between. A file that is no lease is put aside: it is nobody's. */
  #transaction<T>(work: (db: DatabaseSync) => T): T {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    try {
      return this.#inFile(work);
    } catch (error) {
      if (!isDamaged(error)) throw error;
    }
    try {
      // Another process may have put it aside already.
      return this.#inFile(work);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      renameSync(this.#file, `${this.#file}.damaged`);
      rmSync(`${this.#file}-journal`, { force: true });
      return this.#inFile(work);
    }
  }

  #inFile<T>(work: (db: DatabaseSync) => T): T {
    const db = new DatabaseSync(this.#file, { timeout: BUSY_MS });
    try {
      db.exec('BEGIN IMMEDIATE');
      db.exec(TABLE);
      const result = work(db);
      db.exec('COMMIT');
      return result;
    } finally {
      // What is not committed is rolled back.
      db.close();
    }
  }
}

/** SQLITE_ERROR (a table of another form), SQLITE_CORRUPT, SQLITE_NOTADB. */
const DAMAGED: readonly unknown[] = [1, 11, 26];
const isDamaged = (error: unknown): boolean => error instanceof Error && 'errcode' in error && DAMAGED.includes(error.errcode);

export const describe = ({ owner, purpose, leftMs }: Lease): string =>
  `${owner} for ${purpose}, ${leftMs > 0 ? `${formatDurationUs(leftMs * 1000)} left` : 'expired'}`;

const held = (lease: Lease): NetrigError =>
  new NetrigError('LEASE_HELD', `in use by ${describe(lease)}`, { hint: '--wait 30m waits in line; netrig rig release takes it away' });
