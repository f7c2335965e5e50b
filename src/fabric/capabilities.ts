/** What the fabric can build on: probed, never assumed. */
import type { Host } from '../rig/hosts/host.ts';
import { probeNamespace } from '../rig/labs/probes.ts';

export interface FabricCapabilities {
  /** Kernel datapath of Open vSwitch; false: userspace datapath. */
  readonly ovsKernel: boolean;
  /** False: delays are made by native/delayline. */
  readonly netem: boolean;
}

/** Tries both in a namespace that is gone afterwards. */
export async function probeFabric(machine: Host): Promise<FabricCapabilities> {
  const probe = probeNamespace('probe');
  try {
    await machine.exec(['ip', 'netns', 'add', probe]);
    const netem = await machine.exec(['tc', '-n', probe, 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms'], {
      allowFailure: true,
    });
    const ovs = await machine.exec(['test', '-d', '/sys/module/openvswitch'], { allowFailure: true });
    return { netem: netem.exitCode === 0, ovsKernel: ovs.exitCode === 0 };
  } finally {
    await machine.exec(['ip', 'netns', 'del', probe], { allowFailure: true });
  }
}
