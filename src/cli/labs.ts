/** Which lab and node a command means. */
import { NetrigError } from '../core/errors.ts';
import { listLabs, readRecord, type LabRecord } from '../rig/labs/journal.ts';
import { suggest } from '../core/config/validate.ts';

/** The named lab, or the only one there is. */
export function chooseLab(name: string | undefined): LabRecord {
  const labs = listLabs();
  const chosen = name ?? (labs.length === 1 ? labs[0] : undefined);
  if (chosen === undefined) {
    throw new NetrigError('LAB_UNKNOWN', labs.length === 0 ? 'no lab is deployed' : `several labs are deployed: ${labs.join(', ')}`, {
      hint: labs.length === 0 ? 'netrig deploy TOPOLOGY' : 'say which: --lab NAME',
    });
  }
  const record = readRecord(chosen);
  if (!record) throw new NetrigError('LAB_UNKNOWN', `no lab "${chosen}" is deployed`, { hint: `labs: ${labs.join(', ') || 'none'}` });
  return record;
}

export function chooseNode(record: LabRecord, node: string): string {
  const names = record.fabric.nodes.map((n) => n.name);
  if (names.includes(node)) return node;
  const near = suggest(node, names);
  throw new NetrigError('USAGE', `lab "${record.lab}" has no node "${node}"`, {
    hint: near ? `did you mean "${near}"?` : `nodes: ${names.join(', ')}`,
  });
}
