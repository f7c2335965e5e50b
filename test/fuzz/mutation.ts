/** Damage to values, texts and bytes, the same for the same seed. Pure. */
import { random } from '../support/random.ts';

/** What has broken readers of files: sizes, units, names that JavaScript has, separators, ranges, expressions. */
const HOSTILE: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, 4294967296, '', ' ', '-', '.', '..', '/', '\\', '*', '~', '0', '-1', 'none', 'auto', 'null'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
    'a\nb',
    'a\tb',
    'a;b',
    '$(id)',
    '`id`',
    "'",
    '"',
    '\u2028',
    '日本',
  ],
  ...[
    '${',
    '${x}',
    '${x * 1e9}',
    '${x * 0}',
    'a{1..9}',
    'a{9..1}',
    'a{0..9999}',
    'a{1..2}b{1..3}',
    'a{1..4096}',
    'a:e',
    'a:e{1..3}',
    ':',
    'a:',
  ],
  ...[
    '0ms',
    '0s',
    '1ns',
    '100000h',
    '99999999999s',
    '0bit',
    '1Tbps',
    '1e400Mbit',
    '0%',
    '100%',
    '101%',
    '9999999%',
    '0B',
    '999999GiB',
    '0packets',
  ],
  ...[
    '10.0.0.1/24',
    '10.0.0.1/33',
    '256.0.0.1/8',
    '010.0.0.1/8',
    '2001:db8::1/64',
    '::/0',
    'fe80::1%eth0/64',
    '::ffff:1.2.3.4/96',
    '224.0.0.1/4',
  ],
  ...[
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
    'x'.repeat(16),
    'x'.repeat(33),
    'x'.repeat(5000),
    'lo',
    'br0',
    'all',
    'tcp port',
    'udp[0:9] = ',
  ],
  ...[[], {}, [[]], [null], { a: null }, { '': '' }, { 'a{1..9}': {} }, ['a', 'a'], [[], {}], { at: '0s', kill: 'a' }],
];

export interface Dice {
  /** 0 … n - 1 */
  below(n: number): number;
  of<T>(list: readonly T[]): T;
}

export function dice(seed: number): Dice {
  const { uniform } = random(seed);
  const below = (n: number): number => Math.floor(uniform() * n);
  return { below, of: (list) => list[below(list.length)] as never };
}

type Path = readonly (string | number)[];
type Container = Record<string | number, unknown>;

function pathsOf(root: unknown): Path[] {
  const paths: Path[] = [];
  const walk = (value: unknown, path: Path): void => {
    paths.push(path);
    if (value !== null && typeof value === 'object')
      for (const [key, item] of Object.entries(value)) walk(item, [...path, Array.isArray(value) ? Number(key) : key]);
  };
  walk(root, []);
  return paths;
}

const at = (root: unknown, path: Path): unknown => path.reduce((value, key) => (value as Container)[key], root);

/** A copy with one to four changes; `others`: values of which parts are taken over. */
export function mutated(roll: Dice, value: unknown, others: readonly unknown[]): unknown {
  const root = { value: structuredClone(value) };
  for (let changes = 1 + roll.below(4); changes > 0; changes--) {
    const path = ['value', ...roll.of(pathsOf(root.value))];
    const key = path.at(-1) as string | number;
    const parent = at(root, path.slice(0, -1)) as Container;
    const other = roll.of(others);
    switch (roll.below(7)) {
      case 0:
      case 1:
        parent[key] = structuredClone(roll.of(HOSTILE));
        break;
      case 2:
        parent[key] = structuredClone(at(other, roll.of(pathsOf(other))));
        break;
      case 3:
        if (path.length > 1) Reflect.deleteProperty(parent, key);
        break;
      case 4:
        if (Array.isArray(parent)) parent.push(structuredClone(parent[Number(key)]));
        else if (path.length > 1) parent[`${key}${roll.of(['', '2', '{1..3}', ' ', '\n', '.x'])}`] = structuredClone(parent[key]);
        break;
      case 5:
        if (path.length > 1 && !Array.isArray(parent)) {
          const moved = parent[key];
          Reflect.deleteProperty(parent, key);
          Object.defineProperty(parent, String(roll.of(HOSTILE)), { value: moved, enumerable: true, configurable: true, writable: true });
        }
        break;
      default:
        if (typeof parent[key] === 'string') parent[key] = mutatedText(roll, parent[key]);
        else if (typeof parent[key] === 'number') parent[key] *= roll.of([-1, 0, 0.5, 1e3, 1e12]);
        else parent[key] = [parent[key]];
    }
  }
  return root.value;
}

/** Some characters are other ones, there twice, or gone. */
export function mutatedText(roll: Dice, text: string): string {
  let result = text;
  for (let changes = 1 + roll.below(3); changes > 0; changes--) {
    const [from, length] = [roll.below(result.length + 1), roll.below(4)];
    const piece = roll.of([
      '',
      result.slice(from, from + length).repeat(2),
      String(roll.of(HOSTILE)),
      '{}[]:,&*!|>%@#-?"\'\\ \n$'.charAt(roll.below(25)),
    ]);
    result = result.slice(0, from) + piece + result.slice(from + length);
  }
  return result;
}

export function mutatedBytes(roll: Dice, bytes: Buffer): Buffer {
  let result = Buffer.from(bytes);
  for (let changes = 1 + roll.below(6); changes > 0; changes--) {
    const from = roll.below(result.length + 1);
    switch (roll.below(4)) {
      case 0:
        if (from < result.length) result[from] = roll.of([0, 1, 0x7f, 0x80, 0xff, roll.below(256)]);
        break;
      case 1:
        if (from + 4 <= result.length) result.writeUInt32LE(roll.of([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, roll.below(1 << 16)]), from);
        break;
      case 2:
        result = result.subarray(0, from);
        break;
      default:
        result = Buffer.concat([result.subarray(0, from), result.subarray(roll.below(result.length + 1))]);
    }
  }
  return result;
}
