/** The machines of a rig file, connected; without one, the machine that netrig runs on. */
import { join } from 'node:path';
import { DEFAULT_ENGINE } from '../images/docker/sockets.ts';
import { BUILD_DIR } from '../../core/paths.ts';
import { stateRoot } from '../labs/journal.ts';
import { LocalMachine } from './local-machine.ts';
import type { Machine } from './machine.ts';
import type { RigPlan } from '../rigfile.ts';
import { LOCAL } from '../labs/assignment.ts';

/** Containers see the project's own folders: agents are run from where they are. */
export const localMachine = (name = LOCAL, engine = DEFAULT_ENGINE, options: { looksOnly?: boolean } = {}): LocalMachine =>
  new LocalMachine(
    {
      node: process.execPath,
      nativeDir: BUILD_DIR,
      stateRoot: stateRoot(),
      engine,
      mounts: [BUILD_DIR, join(BUILD_DIR, '../node_modules')],
    },
    { name, ...options },
  );

export type Machines = ReadonlyMap<string, Machine>;

/** All of them, or an error that names each that cannot be reached. */
export async function connectMachines(rig: RigPlan | null): Promise<Machines> {
  if (rig === null) return new Map([[LOCAL, localMachine()]]);
  const { connectRig } = await import('./ssh/connect.ts');
  return connectRig(rig);
}

export const disconnect = async (machines: Machines): Promise<void> => {
  await Promise.allSettled([...machines.values()].map((m) => m.dispose()));
};
