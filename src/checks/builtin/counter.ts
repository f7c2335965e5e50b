/** A final counter of a system's agents: what they hold when they end. */
import { Type } from 'typebox';
import { name, opt } from '../../core/config/parts.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';
import { refuseKeys } from '../problems.ts';

const keys = {
  system: name('System.'),
  counter: Type.String({ description: 'Final counter of its agents, e.g. limiters.' }),
  node: opt(name('Node of the agent (default: the sum over all).')),
};

export const counter: Check<KeysOf<typeof keys>> = {
  name: 'counter',
  keys,
  unit: () => 'count',
  problems(target, { systems }) {
    const problems = refuseKeys(target, ['from', 'to', 'phase'], 'counters are read when the agents end');
    const system = systems.find((s) => s.name === target.system);
    if (!system) problems.push({ path: ['system'], message: `this cell has no system "${target.system}"` });
    else if (target.node !== undefined && !system.on.includes(target.node))
      problems.push({ path: ['node'], message: `no agent of ${target.system} runs on "${target.node}"` });
    return problems;
  },
  figures(target, { agents }) {
    const asked = agents.filter((a) => a.system === target.system && (target.node === undefined || a.node === target.node));
    const values = asked.flatMap((a) => a.counters[target.counter] ?? []);
    if (values.length < asked.length || values.length === 0) return missing(`no agent of ${target.system} reported "${target.counter}"`);
    return { kind: 'exact', value: values.reduce((a, b) => a + b, 0) };
  },
};
