/** Readers of what comes from outside. Damaged input makes each of them refuse it in words: another end is a defect. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readCapture } from '../../src/capture/reader.ts';
import { NetrigError } from '../../src/core/errors.ts';
import { readRun } from '../../src/evidence/cell.ts';
import { evaluateRun, writeReports } from '../../src/report/index.ts';
import { parseRig } from '../../src/rig/rigfile.ts';
import { checksOf, checkSystems } from '../../src/systems/registry.ts';
import { parseExperiment } from '../../src/topology/load.ts';
import { unpack } from '../golden/archive.ts';
import { ROOT } from '../support/netrig.ts';
import { classicPcap, pcapng, sampleFrames } from '../support/pcap.ts';
import { dice, mutated, mutatedBytes, mutatedText } from './mutation.ts';

export interface Subject {
  /** Reads the input of this seed; rejects with whatever is no refusal. */
  run(seed: number): Promise<void>;
  /** The input itself, for a person to look at. */
  show(seed: number): string;
  [Symbol.dispose](): void;
}

async function refusedInWords(read: () => Promise<unknown>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof NetrigError) || error.code === 'INTERNAL') throw error;
    assert.ok(error.message.length < 100_000, 'a message that nobody reads');
  }
}

const textsIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder))
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => readFileSync(join(ROOT, folder, file), 'utf8'));

/** Files of one kind: values changed in nine of ten, characters in the rest. */
function files(folder: string, read: (text: string) => Promise<unknown>): Subject {
  const texts = textsIn(folder);
  const values = texts.map((text) => parse(text) as unknown);
  const inputOf = (seed: number): string => {
    const roll = dice(seed);
    const index = roll.below(texts.length);
    if (roll.below(10) === 0) return mutatedText(roll, texts[index] as string);
    return JSON.stringify(mutated(roll, values[index], values), null, 1);
  };
  return { run: (seed) => refusedInWords(() => read(inputOf(seed))), show: inputOf, [Symbol.dispose]() {} };
}

function captures(): Subject {
  const folder = mkdtempSync(join(tmpdir(), 'netrig-fuzz-'));
  const frames = sampleFrames(40);
  const originals = [
    classicPcap(frames, { littleEndian: true, nano: true }),
    classicPcap(frames, { littleEndian: false, nano: false }),
    pcapng(frames, { littleEndian: true, resolution: 9 }),
    pcapng(frames, { littleEndian: false, resolution: 6 }),
  ];
  const inputOf = (seed: number): Buffer => {
    const roll = dice(seed);
    return mutatedBytes(roll, roll.of(originals));
  };
  const file = join(folder, 'damaged.pcap');
  return {
    run: (seed) => {
      writeFileSync(file, inputOf(seed));
      return refusedInWords(async () => readCapture(file, () => {}));
    },
    show: (seed) => inputOf(seed).toString('hex'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

/** Results folders of which one file is damaged. */
function results(): Subject {
  const folder = mkdtempSync(join(tmpdir(), 'netrig-fuzz-'));
  const [whole, damaged] = [join(folder, 'whole'), join(folder, 'damaged')];
  mkdirSync(whole);
  unpack('hello', whole);
  const names = readdirSync(whole, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(json|jsonl|log|yaml|pcap)$/.test(name))
    .sort();
  const changeOf = (seed: number): { name: string; bytes: Buffer } => {
    const roll = dice(seed);
    const name = roll.of(names);
    const bytes = readFileSync(join(whole, name));
    if (!name.endsWith('.json')) return { name, bytes: mutatedBytes(roll, bytes) };
    if (roll.below(4) === 0) return { name, bytes: Buffer.from(mutatedText(roll, bytes.toString())) };
    const value = JSON.parse(bytes.toString()) as unknown;
    return { name, bytes: Buffer.from(JSON.stringify(mutated(roll, value, [value]))) };
  };
  return {
    run: async (seed) => {
      const { name, bytes } = changeOf(seed);
      rmSync(damaged, { recursive: true, force: true });
      cpSync(whole, damaged, { recursive: true });
      writeFileSync(join(damaged, name), bytes);
      await refusedInWords(async () => {
        await readRun(damaged);
        await writeReports(damaged, await evaluateRun(damaged));
      });
    },
    show: (seed) => {
      const { name, bytes } = changeOf(seed);
      return `${name}\n${bytes.toString('latin1')}`;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

export const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  topology: () => files('topologies', (text) => parseExperiment('t.yaml', text, { checksOf, checkSystems })),
  rig: () => files('lab/rigs', async (text) => parseRig('r.yaml', text)),
  capture: captures,
  results,
};
