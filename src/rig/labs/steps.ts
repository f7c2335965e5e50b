/** Deployment as data: what is done where, in which order. Printed by --dry-run, journalled, then applied. */

import { Type } from 'typebox';
import type { Described } from '../../core/readonly.ts';

/** Where a step runs: a machine of the rig, a node of the lab, or the namespace that emulates a machine's links. */
export const stepHost = Type.Union([
  Type.Object({ on: Type.Literal('machine'), machine: Type.String() }),
  Type.Object({ on: Type.Literal('node'), node: Type.String() }),
  Type.Object({ on: Type.Literal('links'), machine: Type.String() }),
]);
export type StepHost = Described<typeof stepHost>;

export interface Step {
  readonly title: string;
  readonly host: StepHost;
  readonly argv: readonly string[];
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Started by the machine's engine, `argv` being how its command line would say it; its network gets the name of the node's. */
  readonly container?: ContainerSpec;
  /** Runs in the node's container, not only in its network. */
  readonly inside?: string;
  /** NICs of the machine that the step moves into a namespace; `destroy` gives them back. */
  readonly borrows?: readonly BorrowedNic[];
}

export interface ContainerSpec {
  readonly name: string;
  readonly lab: string;
  readonly image: string;
  readonly hostname: string;
  readonly env: Readonly<Record<string, string>>;
  /** Folders of the machine, at the same place and read-only. */
  readonly binds: readonly string[];
  readonly privileged: boolean;
  readonly memoryBytes: number | null;
  readonly cpus: number | null;
}

export const borrowedNic = Type.Object({
  /** Its name on the machine. */
  nic: Type.String(),
  namespace: Type.String(),
  /** Its name in the namespace. */
  as: Type.String(),
});
export type BorrowedNic = Described<typeof borrowedNic>;

/** Steps of one chain run in order; chains run side by side. */
export type Chains = readonly (readonly Step[])[];

/** Stages run one after the other. */
export interface Stage {
  readonly title: string;
  readonly chains: Chains;
}

export interface DeployPlan {
  readonly lab: string;
  readonly stages: readonly Stage[];
}

export const hostName = (host: StepHost): string =>
  host.on === 'node' ? host.node : host.on === 'links' ? `links of ${host.machine}` : host.machine;

export function renderPlan(plan: DeployPlan): string {
  const lines: string[] = [`# lab ${plan.lab}`];
  plan.stages.forEach((stage, s) => {
    lines.push('', `## ${s + 1}. ${stage.title}`);
    for (const chain of stage.chains) {
      for (const step of chain) {
        lines.push(`[${hostName(step.host)}] ${step.argv.join(' ')}${step.title ? `    # ${step.title}` : ''}`);
        for (const line of (step.stdin ?? '').split('\n').filter(Boolean)) lines.push(`    ${line}`);
      }
    }
  });
  return `${lines.join('\n')}\n`;
}
