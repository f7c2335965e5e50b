/** Flows that did not get through, or did although they must not. */
import { Type } from 'typebox';
import { name, opt } from '../../core/config/parts.ts';
import type { KeysOf } from '../../topology/checks.ts';
import { missing, type Check } from '../check.ts';
import { needsFlow, refuseWindow } from '../problems.ts';

const keys = {
  flow: opt(name('Flow (default: all of the phase).')),
  blocked: opt(Type.Boolean({ description: 'The flow must NOT get through.' })),
};

export const reachability: Check<KeysOf<typeof keys>> = {
  name: 'reachability',
  keys,
  counts: 'flow',
  unit: () => 'count',
  problems: (target, _, phase) => [...needsFlow(target.flow, phase), ...refuseWindow(target, 'reachability')],
  figures(target, _, phase) {
    const flows = target.flow === undefined ? phase.flows : phase.flows.filter((f) => f.flow === target.flow);
    if (flows.length === 0) return missing('no flows to judge');
    if (target.blocked) {
      // A tool that broke is no proof of a gateway that blocks; only the prober's silence is.
      const broken = flows.find((f) => f.receivedBytes === 0 && f.rttUs === undefined);
      if (broken)
        return missing(`flow ${broken.flow}: ${broken.error ?? 'nothing arrived'}, but whether it was blocked only tool: prober can tell`);
    }
    const wrong = flows.filter((f) => f.receivedBytes > 0 === (target.blocked ?? false));
    const detail =
      wrong.length === 0
        ? `${flows.length} flows`
        : `${wrong
            .map((f) => f.flow)
            .slice(0, 5)
            .join(', ')} ${target.blocked ? 'got through' : 'did not get through'}`;
    return { kind: 'exact', value: wrong.length, detail };
  },
};
