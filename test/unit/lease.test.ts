/** The lease of a machine: one owner at most, whatever dies, restarts or is damaged at whatever moment. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { NetrigError } from '../../src/core/errors.ts';
import { LeaseBook } from '../../src/rig/leases/lease.ts';
import { dice } from '../fuzz/mutation.ts';

const request = (owner: string, ttlMs = 10_000) => ({ owner, purpose: 'test', ttlMs });
const scratch = () => {
  const dir = mkdtempSync(join(tmpdir(), 'netrig-lease-'));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
};
/** What becomes of a call: "ok", or the code of its error. */
function outcome(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof NetrigError, String(error));
    return error.code;
  }
}

test('one at a time; the next after it is given back', () => {
  using files = scratch();
  const [mine, theirs] = [new LeaseBook(files.dir), new LeaseBook(files.dir)];
  const { lease } = mine.acquire(request('me'));
  assert.throws(() => theirs.acquire(request('you')), { code: 'LEASE_HELD', message: /in use by me for test/ });
  assert.throws(() => theirs.check(null), { code: 'LEASE_HELD' });
  mine.release(lease.token);
  assert.equal(theirs.acquire(request('you')).expired, null);
  assert.throws(() => mine.release(lease.token), { code: 'LEASE_LOST' });
  assert.equal(theirs.current()?.owner, 'you', 'who gives back what he has no more takes nothing from another');
});

test('a file that is no lease, or none any more, is nobody’s', () => {
  using files = scratch();
  const file = join(files.dir, '+lease/lease.db');
  const book = new LeaseBook(files.dir);
  for (const damage of [
    () => truncateSync(file, 0),
    () => truncateSync(file, 100),
    () => writeFileSync(file, '{'),
    () => writeFileSync(file, Buffer.alloc(8192, 7)),
    () => rmSync(file),
  ]) {
    const { lease } = book.acquire(request('me'));
    damage();
    assert.equal(book.current(), null);
    assert.throws(() => book.renew(lease.token, 1000), { code: 'LEASE_LOST' });
    book.release(book.acquire(request('you')).lease.token);
  }
});

/** What the book must do, in a few lines: the row, and who would be let in. */
interface Model {
  row: { token: string; expiresMs: number; boot: number } | null;
}

test('model: owners that come, renew, give back, forget and come late; clocks that run; starts of the machine; revocation', () => {
  for (let seed = 1; seed <= 300; seed++) {
    using files = scratch();
    const roll = dice(seed);
    const now = { ms: 1_000_000, boot: 1 };
    const clock = { nowMs: () => now.ms, boot: () => String(now.boot) };
    const books = [new LeaseBook(files.dir, clock), new LeaseBook(files.dir, clock)];
    /** All tokens that each has ever had: a late message may come with any of them. */
    const tokens: string[][] = [[], []];
    const model: Model = { row: null };
    const isLive = (): boolean => model.row !== null && model.row.boot === now.boot && model.row.expiresMs > now.ms;
    const rules = (token: string): boolean => model.row?.token === token && model.row.boot === now.boot;
    for (let step = 0; step < 25; step++) {
      const who = roll.below(2);
      const book = books[who] as LeaseBook;
      const own = tokens[who] as string[];
      const token = own.length > 0 && roll.below(3) > 0 ? (own.at(-1) as string) : own.length > 0 ? roll.of(own) : 'never given';
      const ttlMs = 1 + roll.below(100);
      switch (roll.below(8)) {
        case 0:
        case 1: {
          const wasLive = isLive();
          const got = outcome(() => {
            const { lease, expired } = book.acquire(request(String(who), ttlMs));
            assert.equal(expired?.token ?? null, model.row?.token ?? null);
            assert.ok(!tokens.flat().includes(lease.token), 'a token that was given before');
            own.push(lease.token);
            model.row = { token: lease.token, expiresMs: now.ms + ttlMs, boot: now.boot };
          });
          assert.equal(got, wasLive ? 'LEASE_HELD' : 'ok', `seed ${seed}, step ${step}: acquire`);
          break;
        }
        case 2:
        case 3:
          assert.equal(
            outcome(() => book.renew(token, ttlMs)),
            rules(token) ? 'ok' : 'LEASE_LOST',
            `seed ${seed}, step ${step}: renew`,
          );
          if (model.row && rules(token)) model.row.expiresMs = now.ms + ttlMs;
          break;
        case 4:
          assert.equal(
            outcome(() => book.release(token)),
            rules(token) ? 'ok' : 'LEASE_LOST',
            `seed ${seed}, step ${step}: release`,
          );
          if (rules(token)) model.row = null;
          break;
        case 5:
          now.ms += roll.below(150);
          break;
        case 6:
          if (roll.below(3) === 0) {
            now.boot += 1;
            now.ms = roll.below(1000);
          } else if (roll.below(3) === 0) {
            book.revoke();
            model.row = null;
          }
          break;
        default:
          // Another process of the same owner.
          books[who] = new LeaseBook(files.dir, clock);
      }
      for (const given of tokens.flat())
        assert.equal(
          outcome(() => book.check(given)),
          rules(given) ? 'ok' : 'LEASE_LOST',
          `seed ${seed}, step ${step}: check`,
        );
      assert.equal((book.current()?.leftMs ?? 0) > 0, isLive(), `seed ${seed}, step ${step}: current`);
    }
  }
});

/** Takes the lease again and again, and writes down when it is inside. */
const CONTENDER = `
import { appendFileSync } from 'node:fs';
import { LeaseBook } from ${JSON.stringify(new URL('../../src/rig/leases/lease.ts', import.meta.url).href)};
const [dir, log, name] = process.argv.slice(2);
const book = new LeaseBook(dir);
for (let entered = 0; entered < 40; ) {
  let token;
  try {
    token = book.acquire({ owner: name, purpose: 'test', ttlMs: 60000 }).lease.token;
  } catch (error) {
    if (error.code !== 'LEASE_HELD') throw error;
    continue;
  }
  appendFileSync(log, name + ' in\\n');
  book.renew(token, 60000);
  appendFileSync(log, name + ' out\\n');
  book.release(token);
  entered += 1;
}
`;

test('processes beside each other: never two inside', async () => {
  using files = scratch();
  const [script, log] = [join(files.dir, 'contender.mts'), join(files.dir, 'log')];
  writeFileSync(script, CONTENDER.replaceAll('\\\\n', '\\n'));
  const statuses = await Promise.all(
    ['a', 'b', 'c'].map(
      (name) =>
        new Promise((resolve) =>
          spawn(process.execPath, [script, files.dir, log, name], { stdio: ['ignore', 'ignore', 'inherit'] }).once('exit', resolve),
        ),
    ),
  );
  assert.deepEqual(statuses, [0, 0, 0]);
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  assert.equal(lines.length, 240);
  for (let i = 0; i < lines.length; i += 2)
    assert.deepEqual([lines[i]?.split(' ')[1], lines[i + 1]], ['in', lines[i]?.replace(' in', ' out')], `line ${i + 1}`);
});
