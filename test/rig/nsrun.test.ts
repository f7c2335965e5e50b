/** native/nsrun, which runs a stage's commands as root: exactly those, whatever is in them, and nothing of what it cannot read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import test from 'ava';
import { decodeResults, encodeStage } from '../../src/rig/labs/batch.ts';
import type { Step } from '../../src/rig/labs/steps.ts';
import { ROOT } from '../support/netrig.ts';

const run = (input: string) => spawnSync(`${ROOT}/build/nsrun`, ['4'], { input, encoding: 'utf8' });
const stepOf = (argv: readonly string[], more: Partial<Step> = {}): Step => ({
  title: 't',
  host: { on: 'machine', machine: 'local' },
  argv,
  ...more,
});
const encoded = (...chains: readonly (readonly Step[])[]): string => encodeStage(chains, () => null);

test('what is run is what was planned: any words, environment and input', () => {
  const word = fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => !/[\0\ud800-\udfff]/.test(text));
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 6 }),
      word,
      fc.string({ unit: 'binary', maxLength: 200 }),
      (words, value, stdin) => {
        // What is not shown by its bytes would be trimmed.
        const hex = [
          'sh',
          '-c',
          'for w in "$@" "$V"; do printf %s "$w" | od -An -v -tx1 | tr -d " \\n"; echo; done; od -An -v -tx1 | tr -d " \\n"',
          'sh',
        ];
        const chains = [[stepOf([...hex, ...words], { env: { V: value }, stdin })], [stepOf(['echo', 'behind'])]];
        const { stdout, status } = run(encoded(...chains));
        assert.equal(status, 0);
        const results = decodeResults(chains, stdout);
        const shown = [...words, value, stdin]
          .map((text) => Buffer.from(text).toString('hex'))
          .join('\n')
          .trim();
        assert.deepEqual(results.map((r) => r.output).sort(), [shown, 'behind'].sort());
      },
    ),
    { numRuns: 60 },
  );
});

test('input that cannot be read to its end runs nothing', () => {
  const good = encoded([stepOf(['echo', 'first'])]);
  for (const bad of [
    `${good}x`,
    `${good}0 1 0\n1:-,`,
    `${good}0 0 0\n1:-,0:,\n`,
    `${good}0 1 0\n1:-,5:tr\0ue,0:,\n`,
    `${good}0 1 0\n1:-,4:true,0:,`,
    `${good}0 1 0\n1:-,-4:true,0:,\n`,
    `${good}0 1 0\n1:-,99999999999:true,0:,\n`,
    `${good}0 99999 0\n1:-,`,
  ]) {
    const { stdout, stderr, status } = run(bad);
    assert.deepEqual([stdout, status], ['', 125], JSON.stringify(bad));
    assert.match(stderr, /nsrun: (malformed|truncated|NUL)/);
  }
  assert.match(run(good).stdout, /first/);
});
