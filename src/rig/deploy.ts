/** Applies a plan step by step, journal first. */
import { mapConcurrent, throwIfAborted, type Context } from '../core/context.ts';
import { asNetrigError, NetrigError } from '../core/errors.ts';
import type { Fabric } from '../topology/model.ts';
import { Journal } from './journal.ts';
import { Rig } from './rig.ts';
import type { DeployPlan, Step } from './steps.ts';
import { destroyLab } from './teardown.ts';

/** Chains in flight: enough to hide process start-up, few enough for two cores. */
const CONCURRENCY = 8;

/** Deploys, or removes what it had built and throws. */
export async function deploy(ctx: Context, plan: DeployPlan, topologyPath: string, fabric: Fabric): Promise<Rig> {
  const journal = Journal.create(plan.lab, topologyPath, fabric);
  const rig = new Rig(plan.lab);
  try {
    for (const stage of plan.stages) {
      throwIfAborted(ctx.signal);
      await mapConcurrent(stage.chains, CONCURRENCY, async (chain) => {
        for (const step of chain) {
          throwIfAborted(ctx.signal);
          journal.before(step);
          await applyStep(rig, step);
          journal.after();
        }
      });
    }
    return rig;
  } catch (error) {
    await destroyLab(plan.lab, { force: true });
    throw error;
  }
}

async function applyStep(rig: Rig, step: Step): Promise<void> {
  try {
    await rig.host(step.host).exec(step.argv, { timeoutMs: 30_000, ...(step.stdin === undefined ? {} : { stdin: step.stdin }), ...(step.env ? { env: step.env } : {}) });
  } catch (thrown) {
    const error = asNetrigError(thrown);
    if (error.code !== 'HOST_COMMAND_FAILED') throw error;
    throw new NetrigError('STEP_FAILED', `${step.title}: ${error.message}`, { cause: error });
  }
}
