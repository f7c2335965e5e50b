/** What `netrig rig up` made, on disk before it is made; `rig down` needs nothing else. */
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { record } from '../../../core/config/parts.ts';
import { parseJson } from '../../../core/json.ts';
import type { Described } from '../../../core/readonly.ts';
import { stateRoot } from '../../labs/journal.ts';

const vmRecord = Type.Object({
  address: Type.String(),
  mac: Type.String(),
  /** "ssh-ed25519 AAAA…" */
  hostKey: Type.String(),
  dir: Type.String(),
  /** File behind the page that the guest shares with this machine; null: none. */
  sharedPage: Type.Union([Type.String(), Type.Null()]),
});
export type VmRecord = Described<typeof vmRecord>;

const rigState = Type.Object({
  rig: Type.String(),
  path: Type.String(),
  createdAt: Type.String(),
  keyFile: Type.String(),
  /** Network namespace of the virtual machines' bridges, and the interface here that leads into it. */
  namespace: Type.String(),
  uplink: Type.String(),
  vms: record(vmRecord),
});
export type RigState = Described<typeof rigState>;

export const rigDir = (rig: string): string => join(stateRoot(), '+rigs', rig);

export function readRigState(rig: string): RigState | undefined {
  try {
    return parseJson(rigState, readFileSync(join(rigDir(rig), 'rig.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

export function writeRigState(state: RigState): void {
  mkdirSync(rigDir(state.rig), { recursive: true, mode: 0o700 });
  writeFileSync(join(rigDir(state.rig), 'rig.json'), JSON.stringify(state, null, 2));
}

export function removeRigState(rig: string): void {
  rmSync(rigDir(rig), { recursive: true, force: true });
  for (const folder of [join(stateRoot(), '+rigs'), stateRoot()]) {
    try {
      rmdirSync(folder);
    } catch {
      /* others are there */
    }
  }
}
