import { setPriority } from 'node:os';
import { RoleAgent } from '../lib/role.ts';
import { serveAgent } from '../lib/rpc.ts';
import { startControl } from './control/server.ts';
import { startGateway } from './gateway/gateway.ts';
import { startConsumer } from './nodes/consumer.ts';
import { startPpn } from './nodes/ppn.ts';
import { startProducer } from './nodes/producer.ts';
import { startRdn } from './routing/rdn.ts';
import type { AgentConfig } from './config.ts';

const ROLES = {
  control: startControl,
  rdn: startRdn,
  ppn: startPpn,
  producer: startProducer,
  consumer: startConsumer,
  gateway: startGateway,
};

// What decides can wait; the kernel's threads that carry packets must not wait for it.
setPriority(10);
serveAgent(new RoleAgent<AgentConfig>((setup) => ROLES[setup.config.self.role](setup)));
