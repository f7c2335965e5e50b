/** The machines of a rig one by one: what they can do, who uses them, and taking them back. */
import { asNetrigError, NetrigError } from '../core/errors.ts';
import { describe } from '../rig/leases/lease.ts';
import type { Machine } from '../rig/machines/machine.ts';
import { findHost, type RigHost, type RigPlan } from '../rig/rigfile.ts';
import { connectHost } from '../rig/machines/ssh/connect.ts';
import { examine, type Finding } from './doctor.ts';
import { probeCable, probeDataPort } from './testbed.ts';

export interface HostReport {
  readonly host: string;
  readonly findings: readonly Finding[];
}

/** Does something with every machine that can be reached; says of the others why not. */
async function onEach<T>(
  rig: RigPlan,
  work: (machine: Machine, host: RigHost) => Promise<T>,
  otherwise: (host: RigHost, error: NetrigError) => T,
): Promise<T[]> {
  return Promise.all(
    rig.hosts.map(async (host) => {
      let machine: Machine | undefined;
      try {
        machine = await connectHost(rig, host);
        return await work(machine, host);
      } catch (error) {
        return otherwise(host, asNetrigError(error));
      } finally {
        await machine?.dispose();
      }
    }),
  );
}

export async function checkRig(rig: RigPlan): Promise<HostReport[]> {
  return onEach(
    rig,
    async (machine, host): Promise<HostReport> => {
      const findings: Finding[] = [{ what: 'reachable', state: 'ok', found: `as ${host.access.kind}`, remedy: '' }];
      const lease = await machine.lease();
      if (lease && lease.leftMs > 0)
        return {
          host: host.name,
          findings: [
            ...findings,
            {
              what: 'lease',
              state: 'limited',
              found: `in use by ${describe(lease)}`,
              remedy: 'checked no further: what is measured there must not be disturbed',
            },
          ],
        };
      findings.push(...(await examine(machine)));
      if (host.data) {
        const port = await probeDataPort(machine, host.data).catch((error: unknown) => asNetrigError(error));
        findings.push(
          port instanceof NetrigError
            ? { what: 'data network', state: 'missing', found: port.message, remedy: port.hint ?? '' }
            : {
                what: 'data network',
                state: port.mtu < 1550 ? 'limited' : 'ok',
                found: `${host.data.device} ${port.address}, MTU ${port.mtu}`,
                remedy: port.mtu < 1550 ? `links between machines need an MTU of at most ${port.mtu - 50}` : '',
              },
        );
      }
      for (const { ends } of rig.cables) {
        const own = ends.find((end) => end.host === host.name);
        if (own) findings.push(await cableFinding(machine, own.nic));
      }
      return { host: host.name, findings };
    },
    (host, error) => ({
      host: host.name,
      findings: [{ what: 'reachable', state: 'missing', found: `${error.code}: ${error.message}`, remedy: error.hint ?? '' }],
    }),
  );
}

async function cableFinding(machine: Machine, nic: string): Promise<Finding> {
  const found = await probeCable(machine, nic);
  return {
    what: `NIC ${nic}`,
    state: found === null ? 'missing' : 'ok',
    found: found ?? 'there is no such NIC',
    remedy: found === null ? 'mend nics of the rig file' : '',
  };
}

export interface HostStatus {
  readonly host: string;
  readonly state: string;
  readonly lease: string | null;
  readonly labs: readonly string[];
}

export async function rigStatus(rig: RigPlan): Promise<HostStatus[]> {
  return onEach(
    rig,
    async (machine, host): Promise<HostStatus> => {
      const [lease, labs] = await Promise.all([machine.lease(), machine.labs()]);
      return { host: host.name, state: 'up', lease: lease && describe(lease), labs: labs.map((l) => l.lab) };
    },
    (host, error) => ({ host: host.name, state: error.message.split('\n')[0] as string, lease: null, labs: [] }),
  );
}

/** What was done, line by line. Labs of a machine that only this netrig uses (`local`) are `netrig destroy`'s. */
export async function releaseRig(rig: RigPlan): Promise<string[]> {
  const lines = await onEach(
    rig,
    async (machine, host): Promise<string[]> => {
      const lease = await machine.lease();
      await machine.unlease({ revoke: true });
      const labs = findHost(rig, host.name).access.kind === 'local' ? [] : await machine.labs();
      for (const { lab } of labs) await machine.release(lab);
      return [
        `${host.name}: ${lease ? `taken from ${describe(lease)}` : 'was free'}${labs.length > 0 ? `; removed ${labs.map((l) => l.lab).join(', ')}` : ''}`,
      ];
    },
    (host, error) => [`${host.name}: ${error.message}`],
  );
  return lines.flat();
}
