/** What `netrig rig up` made, on disk before it is made; `rig down` needs nothing else. */
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateRoot } from '../../labs/journal.ts';

export interface VmRecord {
  readonly address: string;
  readonly mac: string;
  /** "ssh-ed25519 AAAA…" */
  readonly hostKey: string;
  readonly dir: string;
  /** File behind the page that the guest shares with this machine; null: none. */
  readonly sharedPage: string | null;
}

export interface RigState {
  readonly rig: string;
  readonly path: string;
  readonly createdAt: string;
  readonly keyFile: string;
  /** Network namespace of the virtual machines' bridges, and the interface here that leads into it. */
  readonly namespace: string;
  readonly uplink: string;
  readonly vms: Readonly<Record<string, VmRecord>>;
}

export const rigDir = (rig: string): string => join(stateRoot(), '+rigs', rig);

export function readRigState(rig: string): RigState | undefined {
  try {
    return JSON.parse(readFileSync(join(rigDir(rig), 'rig.json'), 'utf8')) as RigState;
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
