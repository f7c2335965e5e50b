/** How much a topology may stand for. What is larger is refused before it is built up: no machine carries it. Pure. */
import type { Path, Problem } from '../core/config/problems.ts';
import { countOf } from '../core/config/ranges.ts';
import { formatDurationUs } from '../core/units.ts';

/** Of one lab. */
export const MAX_NODES = 4096;
export const MAX_LINKS = 8192;
export const MAX_FLOWS = 10_000;
export const MAX_EVENTS = 50_000;
/** Of the matrix. */
export const MAX_CELLS = 1000;
/** Values of the file, times cells: each cell is a file of its own. */
export const MAX_CELL_VALUES = 500_000;
/** Of all texts of a cell, ranges expanded. */
const MAX_NAMES = 50_000;
/** A week. Timers hold 24 days. */
const MAX_DURATION_US = 7 * 86_400e6;

/** What is left of a bound that several parts of a file share. */
export class Allowance {
  readonly #atMost: number;
  readonly #what: string;
  #taken = 0;

  constructor(atMost: number, what: string) {
    this.#atMost = atMost;
    this.#what = what;
  }

  /** False, and a problem the first time: it is more than is left. */
  take(count: number, path: Path, problems: Problem[]): boolean {
    const before = this.#taken;
    this.#taken += count;
    const problem = tooMany(this.#taken, this.#atMost, this.#what, path);
    if (problem && before <= this.#atMost) problems.push(problem);
    return problem === null;
  }
}

/** Why it is too many; null: it is not. */
export function tooMany(count: number, atMost: number, what: string, path: Path): Problem | null {
  return count <= atMost ? null : { path, message: `this makes ${count} ${what}; at most ${atMost}` };
}

export function tooLong(durationUs: number, path: Path): Problem | null {
  return durationUs <= MAX_DURATION_US ? null : { path, message: `${formatDurationUs(durationUs)} is more than a week` };
}

/** Names that all texts and keys of a cell stand for, ranges expanded; and ranges that stand for none, or for too many. */
export function namesProblems(file: unknown): Problem[] {
  const problems: Problem[] = [];
  let count = 0;
  const add = (text: string, path: Path, atKey: boolean): void => {
    try {
      count += countOf(text);
    } catch (error) {
      problems.push({ path, atKey, message: (error as Error).message });
    }
  };
  const visit = (value: unknown, path: Path): void => {
    if (typeof value === 'string') add(value, path, false);
    else if (Array.isArray(value)) value.forEach((item, i) => visit(item, [...path, i]));
    else if (value !== null && typeof value === 'object')
      for (const [key, item] of Object.entries(value)) {
        add(key, [...path, key], true);
        visit(item, [...path, key]);
      }
  };
  visit(file, []);
  const problem = tooMany(count, MAX_NAMES, 'names, ranges expanded', []);
  return problem ? [...problems, problem] : problems;
}
