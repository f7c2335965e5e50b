/** A host: its on-host controller, and its switcher. */
import { join } from 'node:path';
import { issueCertificate } from '../../lib/certificates.ts';
import { EtcdClient } from '../../lib/etcd/client.ts';
import { ETCD_PORT } from '../../lib/etcd/server.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import type { NodeRole } from '../../lib/role.ts';
import { log, type AgentSetup } from '../../lib/rpc.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import type { HostConfig } from '../config.ts';
import { Controllers } from '../host/controllers.ts';
import { advertisementFor, destinationOf } from '../host/frame.ts';
import { HealthChecks } from '../host/health.ts';
import { OnHostController, type Backend } from '../host/ohc.ts';
import { Presences } from '../host/presences.ts';
import { Switcher } from '../host/switcher.ts';
import { HEALTH_COOKIE, ROUTER_MAC, SOLICITATION_COOKIE } from '../host/tables.ts';
import { HOST_OPERATIONS } from '../operations.ts';
import { KEYS } from '../rows.ts';

/** After what nobody uses, and who is not heard. */
const LOOK_MS = 1000;
const HEALTH_MS = 200;

export async function startHost({ config, secret, workDir, ovsDir }: AgentSetup<HostConfig>): Promise<NodeRole> {
  if (ovsDir === null) throw new Error('a host of the mesh needs an Open vSwitch');
  const { credentials } = await issueCertificate(join(workDir, 'tls'), secret, config.self);
  const switcher = await Switcher.open(config, ovsDir);
  const controllers = new Controllers((to) => new EtcdClient({ ...to, port: ETCD_PORT }, credentials));
  const ohc = new OnHostController(config, controllers, switcher);
  const counters = { misses: 0 };
  const presences = new Presences(controllers);
  const loadKey = ({ network, endpoint, service }: Backend): string =>
    KEYS.load(config.self.name, network, endpoint, service.addresses[0]!);
  const health = new HealthChecks({
    answer: (frame, port) => switcher.answer(frame, port),
    sentBytes: (ports) => switcher.sentBytes(ports),
    report: (backend, load) => presences.at(backend.owner).put(loadKey(backend), JSON.stringify(load)),
    forget: (backend) => presences.at(backend.owner).remove(loadKey(backend)),
  });
  await switcher.onPacket(({ cookie, port, frame }) => {
    if (port === null) return;
    if (cookie === HEALTH_COOKIE) health.hear(frame, port);
    else if (cookie === SOLICITATION_COOKIE) {
      const answer = advertisementFor(frame, ROUTER_MAC);
      if (answer) switcher.answer(answer, port);
    } else {
      counters.misses += 1;
      const destination = destinationOf(frame);
      if (destination) ohc.network(cookie)?.miss(destination, () => switcher.resend(frame, port, cookie));
    }
  });
  const turns = new SerialQueue();
  const look = async (): Promise<void> => {
    for (const name of controllers.lostFor(config.holdMs)) {
      log('warn', 'controller not heard', { name });
      for (const network of ohc.networks) network.loseController(name);
    }
    const packets = await switcher.destinations();
    for (const network of ohc.networks) network.expire(packets, config.idleMs);
  };
  const timer = setInterval(
    () => void turns.run(look).catch((error: unknown) => log('warn', 'not looked', { why: (error as Error).message })),
    LOOK_MS,
  );
  const asking = setInterval(
    () =>
      void turns.run(() => health.ask(ohc.backends)).catch((error: unknown) => log('warn', 'not asked', { why: (error as Error).message })),
    HEALTH_MS,
  );
  const operations: Operations = {
    HoldSubscriptions: async (params) => {
      ohc.isHeld = validated(HOST_OPERATIONS.HoldSubscriptions, params).on;
      return { held: ohc.isHeld };
    },
    DescribeHost: async () => ({
      flows: switcher.flowCount,
      controllers: controllers.known,
      networks: Object.fromEntries(ohc.networks.map((n) => [n.settings.name, { peers: n.peers, destinations: n.destinations }])),
    }),
  };
  return {
    counters: () => ({ ...counters, ...ohc.counters, flows: switcher.flowCount }),
    ready: async () => {
      await ohc.open();
      if (ohc.isGateway) for (const owner of config.controllers) presences.at(owner).put(KEYS.gateway(config.self.name), 'true');
    },
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      clearInterval(timer);
      clearInterval(asking);
      presences.stop();
      ohc.stop();
      controllers.close();
      await switcher.stop();
    },
  };
}
