/** A fixed part of what `node test/fuzz/main.ts` does for as long as one likes. */
import test from 'ava';
import { SUBJECTS } from './subjects.ts';

const INPUTS = 500;

for (const [name, make] of Object.entries(SUBJECTS))
  test(`damaged input is refused in words: ${name}`, async () => {
    using subject = make();
    for (let seed = 1; seed <= INPUTS; seed++) await subject.run(seed);
  });
