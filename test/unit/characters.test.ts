/** Control characters in files: in no key, and of values only newlines and tabs. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import test from 'ava';
import { characterProblems } from '../../src/core/config/characters.ts';
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
      assert.equal(characterProblems(value).length > 0, texts.length > 0 || hasKey(value));
    }),
  );
});

const hasKey = (value: unknown): boolean =>
  value !== null &&
  typeof value === 'object' &&
  (Array.isArray(value) ? value.some(hasKey) : Object.entries(value).some(([key, item]) => /[\n\t]/.test(key) || hasKey(item)));
