/** What is wrong with a file, and where. Paths are turned into line:column by the document. */
import { isMap, isNode, isPair, LineCounter, type Document } from 'yaml';
import { NetrigError, type ErrorCode } from '../errors.ts';

export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  readonly message: string;
  readonly hint?: string;
  /** Point at the key instead of the value. */
  readonly atKey?: boolean;
}

/** Gathered while a file is read: what is wrong, and what probably is not meant so. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

export interface LocatedProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string;
}

export class SourceDocument {
  readonly file: string;
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(file: string, document: Document, lines: LineCounter) {
    this.file = file;
    this.#document = document;
    this.#lines = lines;
  }

  has(path: Path): boolean {
    return path.length === 0 || this.#document.hasIn(path as unknown[]);
  }

  /** Position of the deepest existing prefix of `path`. */
  locate(path: Path, atKey = false): { line: number; column: number } {
    for (let length = path.length; length >= 0; length--) {
      const offset = this.#offset(path.slice(0, length), atKey && length === path.length);
      if (offset !== undefined) {
        const { line, col } = this.#lines.linePos(offset);
        return { line, column: col };
      }
    }
    return { line: 1, column: 1 };
  }

  #offset(path: Path, atKey: boolean): number | undefined {
    if (path.length === 0) return this.#document.contents?.range?.[0] ?? 0;
    const parent = path.length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, -1), true);
    if (atKey && isMap(parent)) {
      const key = String(path.at(-1));
      const pair = parent.items.find((item) => isPair(item) && isNode(item.key) && String(item.key) === key);
      if (pair && isNode(pair.key)) return pair.key.range?.[0];
    }
    const node = this.#document.getIn(path as unknown[], true);
    return isNode(node) ? node.range?.[0] : undefined;
  }
}

/** As many as somebody reads; the rest is counted. */
export const MAX_PROBLEMS = 50;

/** "FILE:LINE:COLUMN: what is wrong", and the hint on a line of its own. */
export const placed = (file: string, { line, column, message, hint }: LocatedProblem): string =>
  `${file}:${line}:${column}: ${message}${hint ? `\n    hint: ${hint}` : ''}`;

/** `unlocated`: problems that there are beside these. */
export function invalid(
  file: string,
  problems: readonly LocatedProblem[],
  code: ErrorCode = 'TOPOLOGY_INVALID',
  unlocated = 0,
): NetrigError {
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const p of [...problems].sort((a, b) => a.line - b.line || a.column - b.column)) {
    const line = placed(file, p);
    if (!seen.has(line)) lines.push(line);
    seen.add(line);
  }
  const more = Math.max(0, lines.length - MAX_PROBLEMS) + unlocated;
  return new NetrigError(code, [...lines.slice(0, MAX_PROBLEMS), ...(more > 0 ? [`${file}: and ${more} more problems`] : [])].join('\n'));
}
