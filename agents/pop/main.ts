import { RoleAgent } from '../lib/role.ts';
import { serveAgent } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { startController } from './control/controller.ts';
import { startManager } from './manager/manager.ts';
import { startClient } from './nodes/client.ts';
import { startEdge, startRouter } from './nodes/edge.ts';
import { startOrigin } from './nodes/origin.ts';
import { startServer } from './nodes/server.ts';

const ROLES = {
  controller: startController,
  manager: startManager,
  edge: startEdge,
  server: startServer,
  router: startRouter,
  origin: startOrigin,
  client: startClient,
};

serveAgent(new RoleAgent<AgentConfig>((setup) => ROLES[setup.config.self.role](setup)));
