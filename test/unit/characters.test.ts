/** Control characters in files: in no key, and of values only newlines and tabs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import test from 'ava';
import { characterProblems, visible } from '../../src/core/config/characters.ts';
import { shellQuoted } from '../../src/core/shell.ts';
import { parseYaml } from '../../src/core/config/yaml.ts';

test('a control character is refused wherever it is, with its place', () => {
  for (const [text, at] of [
    ['name: t\ntopology: { groups: { "g\\n": { exec: 5 } } }', '2:23: control character in the key "g\\n"'],
    ['a: { exec: ["true x\\0y"] }', '1:13: control character in "true x'],
    ['"a\\u2028": 1', '1:1: control character in the key'],
    ['a: "\\e[31m"', '1:4: control character in'],
    ['a: "b\\rc"', '1:4: control character in'],
  ] as const)
    assert.throws(
      () => parseYaml('t.yaml', text),
      (error: Error) => error.message.startsWith(`t.yaml:${at}`),
      text,
    );
  assert.deepEqual(parseYaml('t.yaml', 'a: "sh -c \'x\\n\\ty\'"').raw, { a: "sh -c 'x\n\ty'" });
});

test('what is under many aliases is looked at once, also where it is part of itself', () => {
  const cyclic: unknown[] = ['a'];
  cyclic.push(cyclic);
  assert.deepEqual(characterProblems(cyclic), []);
  let shared: unknown = {};
  for (let i = 0; i < 60; i++) shared = [shared, shared];
  assert.deepEqual(characterProblems(shared), []);
});

test('what is accepted has none, however deep', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const texts = [...JSON.stringify(value).matchAll(/\\u00[01][0-9a-f]|\\[bfr]|\u2028|\u2029|[\u007f-\u009f]/g)];
      assert.equal(characterProblems(value).length > 0, texts.length > 0 || hasName(value));
    }),
  );
});

/** A name that every object has, or a key with a line or a tab in it. */
const hasName = (value: unknown): boolean => {
  if (typeof value === 'string') return value in {};
  if (value === null || typeof value !== 'object') return false;
  if (Array.isArray(value)) return value.some(hasName);
  return Object.entries(value).some(([key, item]) => /[\n\t]/.test(key) || key in {} || hasName(item));
};

test('what is said on a terminal moves no cursor and sets no title; colours and lines stay', () => {
  assert.equal(visible('\x1b]0;title\x07a\x1b[2Jb\r\x9bc\u2028'), '\\u{1b}]0;title\\u{7}a\\u{1b}[2Jb\\u{d}\\u{9b}c\\u{2028}');
  assert.equal(visible('\x1b[31mred\x1b[0m\n\tx'), '\x1b[31mred\x1b[0m\n\tx');
});

test('a command can be given to a shell again, whatever is in it', () => {
  const words = ['netrig', 'run', "it's", 'a b', '$(id)', '`id`', '', '"', '\\', '*', 'x=1'];
  const again = execFileSync('sh', ['-c', `printf '%s\\0' ${shellQuoted(words)}`], { encoding: 'utf8' });
  assert.deepEqual(again.split('\0').slice(0, -1), words);
  assert.equal(shellQuoted(['netrig', 'run', 'a.yaml', '--set', 'x=1']), 'netrig run a.yaml --set x=1');
});
