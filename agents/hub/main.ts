import { RoleAgent } from '../lib/role.ts';
import { serveAgent } from '../lib/rpc.ts';
import type { AgentConfig } from './config.ts';
import { startControl } from './control/plane.ts';
import { startAin } from './nodes/ain.ts';
import { startDmn } from './nodes/dmn.ts';
import { startGateway } from './nodes/gateway.ts';
import { startRouter } from './nodes/router.ts';
import { startHost } from './nodes/host.ts';

const ROLES = { control: startControl, dmn: startDmn, ain: startAin, gateway: startGateway, router: startRouter, host: startHost };

serveAgent(new RoleAgent<AgentConfig>((setup) => ROLES[setup.config.self.role](setup)));
