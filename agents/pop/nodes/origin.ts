/** Origin server: where PoPs get content from. */
import { mkdirSync } from 'node:fs';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { AgentConfig } from '../config.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import { startNginx } from './nginx.ts';

export async function startOrigin({ config, workDir }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  mkdirSync(workDir, { recursive: true });
  const network = new HostNetwork();
  if (config.gateway !== null) await network.addDefaultRoute(config.gateway);
  const counters = { requests: 0 };
  const nginx = await startNginx(workDir, {
    listen: [config.self.address],
    headers: { 'X-Origin': config.self.name },
    origin: null,
    workBytes: 1000,
    onAccess: () => {
      counters.requests += 1;
    },
  });
  return {
    counters: () => counters,
    stop: async () => {
      await nginx.stop();
      await network.stop();
    },
  };
}
