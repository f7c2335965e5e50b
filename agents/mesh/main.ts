import { RoleAgent } from '../lib/role.ts';
import { serveAgent, type AgentSetup } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { startController } from './nodes/controller.ts';
import { startEndpoint } from './nodes/endpoint.ts';
import { startEmulator } from './nodes/emulator.ts';
import { startHost } from './nodes/host.ts';
import { startSite } from './nodes/site.ts';

serveAgent(
  new RoleAgent<AgentConfig>((setup) => {
    const { config } = setup;
    const as = <C extends AgentConfig>(own: C): AgentSetup<C> => ({ ...setup, config: own });
    switch (config.role) {
      case 'controller':
        return startController(as(config));
      case 'host':
        return startHost(as(config));
      case 'endpoint':
        return startEndpoint(as(config));
      case 'emulator':
        return startEmulator(as(config));
      case 'site':
        return startSite(as(config));
    }
  }),
);
