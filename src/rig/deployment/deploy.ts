/** Applies a plan stage by stage, on all machines at once, journal first. */
import { existsSync } from 'node:fs';
import { throwIfAborted, type Context } from '../../core/context.ts';
import { NetrigError } from '../../core/errors.ts';
import type { StepResult } from '../labs/batch.ts';
import { destroyAfterFailure, destroyLab, requireFree } from './destroy.ts';
import { Journal, stateDirOf, type LabClaim } from '../labs/journal.ts';
import { NOT_FOUND } from '../hosts/host.ts';
import type { Machine } from '../machines/machine.ts';
import type { ClockSource } from '../machines/offset.ts';
import { DeployedLab } from './deployed-lab.ts';
import { assignmentOf } from '../labs/assignment.ts';
import { hostName, type DeployPlan, type Stage, type Step } from '../labs/steps.ts';

export interface DeployOptions {
  readonly clocks?: ClockSource;
  /** A lab of that name is removed first, unless a running netrig uses it. */
  readonly replace?: boolean;
}

/** What a netrig that died has left under this name is removed; what was left standing only if it is asked for. LAB_EXISTS. */
async function takeName(ctx: Context, lab: string, replace: boolean): Promise<void> {
  requireFree(lab, replace);
  if (!existsSync(stateDirOf(lab))) return;
  // Of two that come at once, one removes it; the other is told that it is there.
  Journal.of(lab).seize();
  ctx.events.emit({
    type: 'note',
    level: 'warn',
    text: replace ? `lab "${lab}" is replaced` : `removing lab "${lab}", whose netrig died before it could`,
  });
  await destroyLab(lab);
}

/** Deploys, or removes what it had built and throws. */
export async function deploy(
  ctx: Context,
  plan: DeployPlan,
  claim: LabClaim,
  machines: ReadonlyMap<string, Machine>,
  options: DeployOptions = {},
): Promise<DeployedLab> {
  await takeName(ctx, claim.lab, options.replace ?? false);
  Journal.create(claim);
  const deployed = new DeployedLab(plan.lab, machines, claim.assignments, options.clocks);
  /** Where the name is ours: elsewhere a lab of that name is somebody else's. */
  const claimed = new Set<string>();
  try {
    // The claim above is this machine's own.
    const claims = await Promise.allSettled(
      [...machines.values()].filter((m) => !m.isHere).map((m) => m.claim(claim).then(() => claimed.add(m.name))),
    );
    for (const result of claims) if (result.status === 'rejected') throw result.reason;
    for (const stage of plan.stages) {
      throwIfAborted(ctx.signal);
      await applyStage(deployed, stage, ctx.signal);
    }
    return deployed;
  } catch (error) {
    await destroyAfterFailure(ctx, deployed, claimed);
    throw error;
  }
}

async function applyStage(deployed: DeployedLab, stage: Stage, signal: AbortSignal): Promise<void> {
  const applied = await Promise.allSettled(
    [...deployed.machines.values()].map(async (machine) => {
      const chains = stage.chains
        .map((chain) => chain.filter((step) => machineOf(deployed, step) === machine.name))
        .filter((chain) => chain.length > 0);
      if (chains.length === 0) return;
      const { failed, error } = await machine.apply(deployed.lab, chains, signal);
      if (error !== null)
        throw failed ? stepFailure(failed) : new NetrigError('STEP_FAILED', `${stage.title} on ${machine.label}: ${error}`);
    }),
  );
  for (const result of applied) if (result.status === 'rejected') throw result.reason;
}

const machineOf = (deployed: DeployedLab, { host }: Step): string =>
  host.on === 'node' ? assignmentOf(deployed.assignments, host.node).machine : host.machine;

function stepFailure({ step, status, output }: StepResult): NetrigError {
  if (status === NOT_FOUND)
    return new NetrigError('CAPABILITY_MISSING', `program "${step.argv[0]}" is not installed`, {
      hint: 'netrig doctor says what to install',
    });
  return new NetrigError('STEP_FAILED', `${step.title} on ${hostName(step.host)}: ${step.argv.join(' ')} (exit ${status}): ${output}`);
}
