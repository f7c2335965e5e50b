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

export function invalid(file: string, problems: readonly LocatedProblem[], code: ErrorCode = 'TOPOLOGY_INVALID'): NetrigError {
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const p of [...problems].sort((a, b) => a.line - b.line || a.column - b.column)) {
    const line = `${file}:${p.line}:${p.column}: ${p.message}${p.hint ? `\n    hint: ${p.hint}` : ''}`;
    if (!seen.has(line)) lines.push(line);
    seen.add(line);
  }
  return new NetrigError(code, lines.join('\n'));
}
