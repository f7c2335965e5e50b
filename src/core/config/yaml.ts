/** A YAML file with the places of its values. */
import { open } from 'node:fs/promises';
import { isAlias, isNode, isScalar, isSeq, Lexer, LineCounter, parseDocument, visit, type Document } from 'yaml';
import { NetrigError, type ErrorCode } from '../errors.ts';
import { characterProblems } from './characters.ts';
import { invalid, SourceDocument, type Problem } from './problems.ts';
import { MAX_ALIASES, MAX_DEPTH, MAX_FILE_BYTES, MAX_MERGES, MAX_TOKENS, sizeOf } from './size.ts';

export const isMapping = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** Errors of topology files; other kinds of files have codes of their own. */
export interface FileCodes {
  readonly unreadable: ErrorCode;
  readonly syntax: ErrorCode;
}
const TOPOLOGY: FileCodes = { unreadable: 'TOPOLOGY_UNREADABLE', syntax: 'TOPOLOGY_SYNTAX' };

/** At most MAX_FILE_BYTES, also of what has no end, such as a device. */
export async function readSource(file: string, codes = TOPOLOGY): Promise<string> {
  try {
    await using handle = await open(file);
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read)
      ({ bytesRead: read } = await handle.read(bytes, length, bytes.length - length));
    if (length > MAX_FILE_BYTES) throw new Error(`it has more than ${MAX_FILE_BYTES >> 10} KiB`);
    return bytes.toString('utf8', 0, length);
  } catch (cause) {
    throw new NetrigError(codes.unreadable, `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

export function parseYaml(file: string, source: string, codes = TOPOLOGY): { raw: unknown; values: number; document: SourceDocument } {
  const lines = new LineCounter();
  const syntax = (offset: number, message: string) => {
    const { line, col } = offset === 0 ? { line: 1, col: 1 } : lines.linePos(offset);
    return new NetrigError(codes.syntax, `${file}:${line}:${col}: ${message}`, {
      hint: 'check indentation, quotes and brackets just before this place',
    });
  };
  const document = parsedDocument(source, lines, syntax);
  const places = new SourceDocument(file, document, lines);
  const refuse = (problems: readonly Problem[]) =>
    invalid(
      file,
      problems.map((p) => ({ ...p, ...places.locate(p.path, p.atKey) })),
      codes.syntax,
    );
  let raw: unknown;
  try {
    // What aliases make of it is measured below: by what they stand for, not by how many there are.
    raw = document.toJS({ maxAliasCount: -1 });
  } catch (cause) {
    throw syntax(0, (cause as Error).message);
  }
  const { values, problem } = sizeOf(raw);
  if (problem) throw refuse([problem]);
  const problems = characterProblems(raw);
  if (problems.length > 0) throw refuse(problems);
  return { raw, values, document: places };
}

/** The parser's own recursion has an end, too, in lists of lists. */
const sentenceOf = (message: string): string =>
  message.includes('call stack') ? 'too many levels of mappings and lists' : (message.split('\n')[0] as string);

/** Before the parser, which takes a hundred times the memory of its text: why it had better not. */
function tooMuch(source: string): string | null {
  let [tokens, depth] = [0, 0];
  for (const token of new Lexer().lex(source)) {
    tokens += 1;
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > MAX_DEPTH) return `more than ${MAX_DEPTH} levels of mappings and lists`;
    if (tokens > MAX_TOKENS) return `more than ${MAX_TOKENS} words and signs`;
  }
  return null;
}

/** Keys are texts and there once; and aliases cost the parser no more than they should: it follows each merge anew. */
function checkNodes(document: Document, syntax: (offset: number, message: string) => NetrigError): void {
  /** Merges that a mapping makes, those of what it merges included; by its anchor. */
  const mergesOf = new Map<string, number>();
  let aliases = 0;
  visit(document, {
    Alias(_, { range }) {
      if (++aliases > MAX_ALIASES) throw syntax(range?.[0] ?? 0, `more than ${MAX_ALIASES} aliases`);
    },
    Map(_, map) {
      const seen = new Set<string>();
      let merges = 0;
      for (const { key, value } of map.items) {
        if (!isScalar(key)) throw syntax(isNode(key) ? (key.range?.[0] ?? 0) : 0, 'a key must be a text');
        const name = key.source ?? String(key.value);
        if (seen.has(name))
          throw syntax(key.range?.[0] ?? 0, `the key "${name}" is there twice${name === '<<' ? ': write <<: [*a, *b]' : ''}`);
        seen.add(name);
        if (name !== '<<') continue;
        for (const source of isSeq(value) ? value.items : [value]) {
          if (!isAlias(source)) throw syntax(key.range?.[0] ?? 0, 'only aliases can be merged: <<: *a');
          merges += 1 + (mergesOf.get(source.source) ?? 0);
        }
        if (merges > MAX_MERGES) throw syntax(key.range?.[0] ?? 0, `this makes ${merges} merges; at most ${MAX_MERGES}`);
      }
      if (map.anchor !== undefined) mergesOf.set(map.anchor, merges);
    },
  });
}

function parsedDocument(source: string, lines: LineCounter, syntax: (offset: number, message: string) => NetrigError): Document {
  const why = tooMuch(source);
  if (why !== null) throw syntax(0, why);
  // The parser's own check of keys compares each with each.
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, strict: true, merge: true });
  const error = document.errors[0];
  if (error) throw syntax(error.pos[0], sentenceOf(error.message));
  checkNodes(document, syntax);
  return document;
}
