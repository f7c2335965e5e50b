/** JSON values that come one after the other are cut where each ends, however they arrive. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { ObjectSplitter } from '../../agents/lib/ovs/jsonrpc.ts';

test('objects are found whatever their texts hold, and wherever the stream is cut', () => {
  const object = fc.dictionary(
    fc.string(),
    fc.oneof(fc.string(), fc.integer(), fc.array(fc.oneof(fc.string(), fc.dictionary(fc.string(), fc.string())))),
  );
  fc.assert(
    fc.property(fc.array(object, { maxLength: 6 }), fc.integer({ min: 1, max: 9 }), (objects, step) => {
      const stream = objects.map((o) => JSON.stringify(o)).join('');
      const splitter = new ObjectSplitter();
      const found: string[] = [];
      for (let at = 0; at < stream.length; at += step) found.push(...splitter.push(stream.slice(at, at + step)));
      assert.deepEqual(
        found,
        objects.map((o) => JSON.stringify(o)),
      );
    }),
  );
});
