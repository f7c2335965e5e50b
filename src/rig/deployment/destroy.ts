/** Removes labs from every machine that carries a part of them. */
import { existsSync } from 'node:fs';
import type { Context } from '../../core/context.ts';
import { joinFailures, NetrigError } from '../../core/errors.ts';
import { exists, isAlive, listLabs, readRecord, stateDirOf, stateOf, type LabRecord } from '../labs/journal.ts';
import type { DeployedLab } from './deployed-lab.ts';
import type { RigHost, RigPlan } from '../rigfile.ts';
import { isThere, namespacesOf, removeLab } from '../labs/teardown.ts';
import { readRigState } from '../images/vm/state.ts';

/** This machine's part goes last: its record says where the others are. */
export async function destroyDeployedLab(deployed: DeployedLab, claimed = new Set(deployed.machines.keys())): Promise<void> {
  // Somebody else's by now: this one was removed by force, and its name taken.
  const record = readRecord(deployed.lab);
  if (record && record.owner.pid !== process.pid) return;
  const released = await Promise.allSettled(
    [...deployed.machines.values()].filter((m) => !m.isHere && claimed.has(m.name)).map((m) => m.release(deployed.lab)),
  );
  const failure = joinFailures(released, `netrig destroy ${deployed.lab}, once the machine can be reached`);
  if (failure) throw failure;
  await removeLab(deployed.lab);
}

/** LAB_EXISTS unless there is nothing of this name, or what a dead netrig has left; `replace`: or what was left standing. */
export function requireFree(lab: string, replace: boolean): void {
  const record = readRecord(lab);
  const state = record && stateOf(record);
  if (state === 'orphaned' || (replace && state === 'standing')) return;
  if (record || existsSync(stateDirOf(lab))) throw exists(lab);
  const namespaces = namespacesOf(lab);
  if (namespaces.length > 0)
    throw new NetrigError('LAB_EXISTS', `there is no record of a lab "${lab}", and ${namespaces.length} namespaces of that name`, {
      hint: `netrig destroy ${lab}, or --name OTHER`,
    });
}

/** By name, with nothing but what its maker left. */
export async function destroyLab(lab: string, options: { force?: boolean } = {}): Promise<void> {
  if (!isThere(lab))
    throw new NetrigError('LAB_UNKNOWN', `no lab "${lab}" on this machine`, { hint: `labs: ${listLabs().join(', ') || 'none'}` });
  const record = readRecord(lab);
  if (!options.force && record && record.owner.pid !== process.pid && isAlive(record.owner)) {
    throw new NetrigError('LAB_EXISTS', `lab "${lab}" is in use by a running netrig (process ${record.owner.pid})`, {
      hint: 'stop that run first, or netrig destroy --force',
    });
  }
  if (!record && existsSync(stateDirOf(lab)))
    process.emitWarning(`the record of lab "${lab}" is damaged: what it has on other machines, if anything, stays there`);
  if (record?.rig) await removeElsewhere(record, record.rig, options.force ?? false);
  await removeLab(lab);
}

/** `force`: a machine that cannot be reached keeps what it has. */
async function removeElsewhere({ lab, leases }: LabRecord, rigPath: string, force: boolean): Promise<void> {
  const [{ loadRig }, { connectHost }] = await Promise.all([import('../rigfile.ts'), import('../machines/ssh/connect.ts')]);
  const rig = await loadRig(rigPath).catch((error: unknown) => {
    if (force) return null;
    throw error;
  });
  const removals = await Promise.allSettled(
    (rig?.hosts ?? [])
      .filter((host) => !isGone(rig as RigPlan, host))
      .map(async (host) => {
        const machine = await connectHost(rig as RigPlan, host);
        try {
          const token = leases[machine.name];
          // Somebody else who leased the machine since then has removed what this lab left there.
          const resumed =
            token === undefined ||
            (await machine.resume(token).then(
              () => true,
              (error: unknown) => {
                if (isLeaseLost(error)) return false;
                throw error;
              },
            ));
          if (resumed && !machine.isHere) await machine.release(lab);
          if (resumed && token !== undefined) await machine.unlease();
        } finally {
          await machine.dispose();
        }
      }),
  );
  const failure = joinFailures(removals, `netrig destroy ${lab} once it can be reached; --force forgets what is there`);
  if (failure && !force) throw failure;
}

/** A virtual machine that is not up has nothing any more. */
const isGone = (rig: RigPlan, { name, access }: RigHost): boolean =>
  access.kind === 'vm' && readRigState(rig.name)?.vms[name] === undefined;

/** Removes a lab on the way out of a failure, whose cause must not be hidden by another. */
export async function destroyAfterFailure(ctx: Context, deployed: DeployedLab, claimed?: Set<string>): Promise<void> {
  await destroyDeployedLab(deployed, claimed).catch((error: unknown) =>
    ctx.events.emit({ type: 'note', level: 'error', text: `clean-up failed: ${(error as Error).message}` }),
  );
}

const isLeaseLost = (error: unknown): boolean => error instanceof NetrigError && error.code === 'LEASE_LOST';
