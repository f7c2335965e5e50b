/** How large a file may be once its aliases are expanded. What is larger is refused before it takes time and memory. Pure. */
import { type Path, type Problem } from './problems.ts';

/** Of the text itself; the largest topologies of use are a hundredth of this. */
export const MAX_FILE_BYTES = 512 << 10;
export const MAX_DEPTH = 64;
/** The parser looks for the anchor of each alias among all, and follows a merge each time that it is merged. */
export const MAX_ALIASES = 2000;
export const MAX_MERGES = 200;
/** Of the text, as YAML's lexer sees them: three to four make a value. */
export const MAX_TOKENS = 150_000;
const MAX_VALUES = 30_000;
export const MAX_CHARACTERS = 4 << 20;

interface Size {
  readonly values: number;
  readonly characters: number;
  /** Levels of mappings and lists. */
  readonly depth: number;
}

class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** How many values a file has, and what makes it too large or endless. What several aliases name is measured once, and counts each time. */
export function sizeOf(root: unknown): { values: number; problem: Problem | null } {
  try {
    const { values, characters } = measure(root, [], new Map(), new Set());
    if (values > MAX_VALUES) throw refused([], `${values} values, aliases expanded; at most ${MAX_VALUES}`);
    if (characters > MAX_CHARACTERS) throw refused([], `${characters} characters, aliases expanded; at most ${MAX_CHARACTERS}`);
    return { values, problem: null };
  } catch (error) {
    if (error instanceof Refused) return { values: 0, problem: error.problem };
    throw error;
  }
}

const refused = (path: Path, message: string): Refused => new Refused({ path, message });

function measure(value: unknown, path: Path, known: Map<object, Size>, open: Set<object>): Size {
  if (value === null || typeof value !== 'object') return { values: 1, characters: typeof value === 'string' ? value.length : 0, depth: 0 };
  if (open.has(value)) throw refused(path, 'an alias to what it is itself a part of');
  const before = known.get(value);
  const tooDeep = () => refused(path, `more than ${MAX_DEPTH} levels of mappings and lists`);
  if (path.length + (before?.depth ?? 0) > MAX_DEPTH) throw tooDeep();
  if (before) return before;
  open.add(value);
  const own = { values: 1, characters: 0, depth: 1 };
  for (const [key, item] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    const size = measure(item, [...path, key], known, open);
    own.values += size.values;
    own.characters += size.characters + (typeof key === 'string' ? key.length : 0);
    own.depth = Math.max(own.depth, size.depth + 1);
  }
  open.delete(value);
  known.set(value, own);
  return own;
}
