/** A YAML file with the places of its values. */
import { readFile } from 'node:fs/promises';
import { LineCounter, parseDocument } from 'yaml';
import { NetrigError, type ErrorCode } from '../errors.ts';
import { characterProblems } from './characters.ts';
import { invalid, SourceDocument } from './problems.ts';

export const isMapping = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** Errors of topology files; other kinds of files have codes of their own. */
export interface FileCodes {
  readonly unreadable: ErrorCode;
  readonly syntax: ErrorCode;
}
const TOPOLOGY: FileCodes = { unreadable: 'TOPOLOGY_UNREADABLE', syntax: 'TOPOLOGY_SYNTAX' };

export async function readSource(file: string, codes = TOPOLOGY): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new NetrigError(codes.unreadable, `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

export function parseYaml(file: string, source: string, codes = TOPOLOGY): { raw: unknown; document: SourceDocument } {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, strict: true });
  const syntax = (offset: number, message: string) => {
    const { line, col } = lines.linePos(offset);
    return new NetrigError(codes.syntax, `${file}:${line}:${col}: ${message}`, {
      hint: 'check indentation, quotes and brackets just before this place',
    });
  };
  const error = document.errors[0];
  if (error) throw syntax(error.pos[0], error.message.split('\n')[0] as string);
  const places = new SourceDocument(file, document, lines);
  let raw: unknown;
  try {
    // maxAliasCount guards against "billion laughs".
    raw = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw syntax(0, (cause as Error).message);
  }
  const problems = characterProblems(raw);
  if (problems.length > 0)
    throw invalid(
      file,
      problems.map((p) => ({ ...p, ...places.locate(p.path, p.atKey) })),
      codes.syntax,
    );
  return { raw, document: places };
}
