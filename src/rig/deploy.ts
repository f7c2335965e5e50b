/** Applies a plan stage by stage, journal first. */
import { join } from 'node:path';
import { throwIfAborted, type Context } from '../core/context.ts';
import { NetrigError } from '../core/errors.ts';
import type { Fabric } from '../topology/model.ts';
import { decodeResults, encodeStage, type StepResult } from './batch.ts';
import { Journal } from './journal.ts';
import { namespaceOf, Rig, wiresNamespace } from './rig.ts';
import { hostName, type DeployPlan, type Stage, type StepHost } from './steps.ts';
import { removeAfterFailure } from './teardown.ts';

/** Commands in flight: enough to hide their start-up, few enough for two cores. */
const JOBS = 4;
const STAGE_TIMEOUT_MS = 120_000;

/** Deploys, or removes what it had built and throws. */
export async function deploy(ctx: Context, plan: DeployPlan, topologyPath: string, fabric: Fabric): Promise<Rig> {
  const journal = Journal.create(plan.lab, topologyPath, fabric);
  const rig = new Rig(plan.lab);
  try {
    for (const stage of plan.stages) {
      throwIfAborted(ctx.signal);
      for (const step of stage.chains.flat()) journal.before(step);
      await applyStage(rig, plan, stage);
      journal.after();
    }
    return rig;
  } catch (error) {
    await removeAfterFailure(ctx, plan.lab);
    throw error;
  }
}

async function applyStage(rig: Rig, plan: DeployPlan, stage: Stage): Promise<void> {
  const input = encodeStage(stage, (host) => namespaceFor(plan.lab, host));
  const { stdout, stderr, exitCode } = await rig.host({ on: 'machine' }).exec([join(plan.nativeDir, 'nsrun'), String(JOBS)], { stdin: input, allowFailure: true, timeoutMs: STAGE_TIMEOUT_MS });
  if (exitCode === 0) return;
  const failed = decodeResults(stage, stdout).find((r) => r.status !== 0);
  throw failed ? stepFailure(failed) : new NetrigError('STEP_FAILED', `${stage.title}: ${stderr.trim()}`);
}

function stepFailure({ step, status, output }: StepResult): NetrigError {
  if (status === 127) return new NetrigError('CAPABILITY_MISSING', `program "${step.argv[0]}" is not installed`, { hint: 'netrig doctor says what to install' });
  return new NetrigError('STEP_FAILED', `${step.title} on ${hostName(step.host)}: ${step.argv.join(' ')} (exit ${status}): ${output}`);
}

function namespaceFor(lab: string, host: StepHost): string | null {
  switch (host.on) {
    case 'machine': return null;
    case 'node': return namespaceOf(lab, host.node);
    case 'wires': return wiresNamespace(lab);
  }
}
