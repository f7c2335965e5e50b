/** Characters that texts of files may have: none that a terminal, a log or a program's line-by-line input makes something else of. Pure. */
import type { Path, Problem } from './problems.ts';

/** Unicode's control characters, and its separators of lines and paragraphs: no "." of a pattern stands for those. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;
/** Scripts and zone files have lines, and tabs in them. */
const CONTROL_OF_VALUES = /[^\P{Cc}\n\t]|[\p{Zl}\p{Zp}]/u;

export const hasControl = (text: string): boolean => CONTROL.test(text);

const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** Names that every object has: what is looked up by such a key is found where nobody has put it. */
const INHERITED = new Set(Object.getOwnPropertyNames(Object.prototype));

/** Of a key, and of a text that is used as one. */
export const isInherited = (name: string): boolean => INHERITED.has(name);

/** Keys have no control characters, values only newlines and tabs; neither is a name that JavaScript has a meaning for. */
export function characterProblems(root: unknown): Problem[] {
  const problems: Problem[] = [];
  const waiting: { value: unknown; path: Path }[] = [{ value: root, path: [] }];
  /** What is there under several aliases is looked at once. */
  const seen = new Set<object>();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, path } = next;
    if (typeof value === 'string' && isInherited(value))
      problems.push({ path, message: `"${value}" cannot be a name`, hint: 'choose another one' });
    if (typeof value === 'string' && CONTROL_OF_VALUES.test(value))
      problems.push({
        path,
        message: `control character in ${shown(value)}`,
        hint: 'a text may have newlines and tabs, and no other ones',
      });
    if (value === null || typeof value !== 'object' || seen.has(value)) continue;
    seen.add(value);
    for (const [key, item] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
      if (typeof key === 'string' && hasControl(key))
        problems.push({ path: [...path, key], atKey: true, message: `control character in the key ${shown(key)}` });
      else if (typeof key === 'string' && isInherited(key))
        problems.push({ path: [...path, key], atKey: true, message: `"${key}" cannot be a key`, hint: 'choose another name' });
      waiting.push({ value: item, path: [...path, key] });
    }
  }
  return problems;
}

/** Control characters but newlines, tabs and the colours of a terminal (SGR, ECMA-48 8.3.117). */
const UNSEEN = /\x1b\[[0-9;]*m|[\n\t]|([\p{Cc}\p{Zl}\p{Zp}])/gu;

/** Text for a terminal, of which nothing moves its cursor, changes its title or answers in the user's name. */
export const visible = (text: string): string =>
  text.replace(UNSEEN, (kept: string, control?: string) =>
    control === undefined ? kept : `\\u{${(control.codePointAt(0) as number).toString(16)}}`,
  );
