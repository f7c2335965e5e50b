/** The name of an address that a message asks for becomes that of another one, wherever it or an end of it is in the message. Pure. */
import type { Address } from '../../lib/prefix.ts';
import { HEADER_BYTES, labelsAt, Malformed, parse, type Parsed } from './parse.ts';
import { addressLabels } from './reverse.ts';

/** Instead of the label at `at`. */
interface Edit {
  readonly at: number;
  readonly before: number;
  readonly label: Buffer;
}

/**
 * Labels that name the address of the question, in all names that end as it does: so a zone above it stays one above it. `to`: of the
 * same family.
 */
function editsOf(m: Buffer, { names }: Parsed, to: Address): Edit[] {
  const asked = labelsAt(m, HEADER_BYTES);
  const labels = addressLabels(to);
  return names.flatMap((from) => {
    const name = labelsAt(m, from);
    let common = 0;
    while (common < name.length && name.at(-1 - common)?.text === asked.at(-1 - common)?.text) common++;
    return name.flatMap(({ at, text, isLiteral }, i): Edit[] => {
      const label = labels[asked.length - name.length + i];
      // What stays keeps its letters as they are, large or small.
      if (!isLiteral || name.length - i > common || label === undefined || label === text) return [];
      return [{ at, before: 1 + text.length, label: Buffer.from([label.length, ...Buffer.from(label)]) }];
    });
  });
}

/** `m`: a message whose first question is for the name of an address. Throws Malformed. */
export function renamed(m: Buffer, to: Address): Buffer {
  const parsed = parse(m);
  const edits = editsOf(m, parsed, to);
  const added = (from: number, end: number): number =>
    edits.filter(({ at }) => at >= from && at < end).reduce((sum, { before, label }) => sum + label.length - before, 0);
  const made = Buffer.from(m);
  for (const at of parsed.pointers) {
    const target = m.readUInt16BE(at) & 0x3fff;
    const moved = target + added(0, target);
    if (moved > 0x3fff) throw new Malformed();
    made.writeUInt16BE(0xc000 | moved, at);
  }
  for (const { dataAt, end } of parsed.resources) made.writeUInt16BE(end - dataAt + added(dataAt, end), dataAt - 2);
  const parts: Buffer[] = [];
  let from = 0;
  for (const { at, before, label } of edits) {
    parts.push(made.subarray(from, at), label);
    from = at + before;
  }
  return Buffer.concat([...parts, made.subarray(from)]);
}
