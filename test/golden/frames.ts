/** Captures and agents' logs, read whole and written again. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCapture } from '../../src/capture/reader.ts';
import { classicPcap, type Frame } from '../support/pcap.ts';

export function readFrames(path: string): Frame[] {
  const frames: Frame[] = [];
  readCapture(path, ({ data, offset, captured, length, seconds, nanoseconds }) =>
    frames.push({ seconds, nanoseconds, length, bytes: Buffer.from(data.subarray(offset, offset + captured)) }),
  );
  return frames;
}

export const writeFrames = (path: string, frames: readonly Frame[]): void =>
  writeFileSync(path, classicPcap(frames, { littleEndian: true, nano: true }));

export type Line = Record<string, unknown>;

/** Rewrites what the agents of a cell have logged; `node` as in "p1". */
export function rewriteLogs(folder: string, change: (line: Line, node: string) => readonly Line[]): void {
  const agents = join(folder, 'agents');
  for (const file of existsSync(agents) ? readdirSync(agents) : []) {
    const node = file.split('.')[1] as string;
    const lines = readFileSync(join(agents, file), 'utf8')
      .split('\n')
      .filter(Boolean)
      .flatMap((line): Line[] => {
        try {
          return [JSON.parse(line) as Line];
        } catch {
          return []; // the last line of an agent that was killed
        }
      });
    writeFileSync(
      join(agents, file),
      lines
        .flatMap((line) => change(line, node))
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(''),
    );
  }
}
