/** Which lab and node a command means. */
import { existsSync } from 'node:fs';
import { NetrigError } from '../core/errors.ts';
import { listLabs, readRecord, stateOf, stateRoot, SYSTEM_STATE_ROOT, userName, type LabRecord } from '../rig/labs/journal.ts';
import { listed, suggest } from '../core/config/validate.ts';

/** Labs of root are not seen by others: null where nothing is hidden. */
export const hiddenLabs = (): string | null =>
  stateRoot() !== SYSTEM_STATE_ROOT && process.getuid?.() !== 0 && existsSync(SYSTEM_STATE_ROOT)
    ? 'labs that root has deployed are not seen: sudo netrig …'
    : null;

/** The named lab; without a name the only one that this user has left standing: never one that somebody else, or a run, uses. */
export function chooseLab(name: string | undefined): LabRecord {
  const labs = listLabs();
  if (name === undefined) return onlyOwn(labs);
  const record = readRecord(name);
  if (!record)
    throw new NetrigError('LAB_UNKNOWN', `no lab "${name}" is deployed`, { hint: hiddenLabs() ?? `labs: ${labs.join(', ') || 'none'}` });
  return record;
}

function onlyOwn(labs: readonly string[]): LabRecord {
  const own = labs
    .flatMap((lab) => readRecord(lab) ?? [])
    .filter((record) => stateOf(record) === 'standing' && (record.user === undefined || record.user === userName()));
  const [only] = own;
  if (only && own.length === 1) return only;
  if (own.length > 1)
    throw new NetrigError('LAB_UNKNOWN', `several labs of yours stand: ${own.map((r) => r.lab).join(', ')}`, {
      hint: 'say which: --lab NAME',
    });
  throw new NetrigError('LAB_UNKNOWN', 'no lab of yours stands', {
    hint: hiddenLabs() ?? (labs.length === 0 ? 'netrig deploy TOPOLOGY' : `others are there: --lab ${labs.join(' or ')}`),
  });
}

export function chooseNode(record: LabRecord, node: string): string {
  const names = record.fabric.nodes.map((n) => n.name);
  if (names.includes(node)) return node;
  const near = suggest(node, names);
  throw new NetrigError('USAGE', `lab "${record.lab}" has no node "${node}"`, {
    hint: near ? `did you mean "${near}"?` : `nodes: ${listed(names)}`,
  });
}
