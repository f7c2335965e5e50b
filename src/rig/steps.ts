/** Deployment as data: what is done where, in which order. Printed by --dry-run, journalled, then applied. */

/** Where a step runs: the machine that carries the lab, a node of the lab, or the namespace that emulates the links. */
export type StepHost = { readonly on: 'machine' } | { readonly on: 'node'; readonly node: string } | { readonly on: 'wires' };

export interface Step {
  readonly title: string;
  readonly host: StepHost;
  readonly argv: readonly string[];
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Namespaces that exist once the step is done; what `destroy` removes. */
  readonly namespaces?: readonly string[];
}

/** Steps of one chain run in order; chains of one stage run side by side; stages run one after the other. */
export interface Stage {
  readonly title: string;
  readonly chains: readonly (readonly Step[])[];
}

export interface DeployPlan {
  readonly lab: string;
  /** Holds sockets, databases and the journal while the lab exists. */
  readonly stateDir: string;
  /** Where the native helpers are on the machine that carries the lab. */
  readonly nativeDir: string;
  readonly stages: readonly Stage[];
}

export function hostName(host: StepHost): string {
  return host.on === 'node' ? host.node : host.on;
}

export function renderPlan(plan: DeployPlan): string {
  const lines: string[] = [`# lab ${plan.lab}, state in ${plan.stateDir}`];
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
