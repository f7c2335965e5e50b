/** A node with an SDN controller: its etcd, what a predecessor left in it, and the operations of the networks' owners. */
import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { Type } from 'typebox';
import { parsed } from '../../../src/core/lightjson.ts';
import { issueCertificate, signingKey, verifyingKey } from '../../lib/certificates.ts';
import { EtcdClient, type Range } from '../../lib/etcd/client.ts';
import { ETCD_PORT, startEtcd } from '../../lib/etcd/server.ts';
import { perform, validated, type Operations } from '../../lib/params.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentSetup } from '../../lib/rpc.ts';
import type { ControllerConfig, OwnedNetwork } from '../config.ts';
import { Controller } from '../control/controller.ts';
import { ALL } from '../control/policies.ts';
import { Rights } from '../control/rights.ts';
import { agree, endpointState, networkState, putEndpoints, putPolicy, withdraw, type Endpoint, type Network } from '../control/state.ts';
import { CONTROLLER_OPERATIONS } from '../operations.ts';
import { partsOf, RANGES } from '../rows.ts';

export async function startController({ config, secret, workDir }: AgentSetup<ControllerConfig>): Promise<NodeRole> {
  const { self } = config;
  const certificate = await issueCertificate(join(workDir, 'tls'), secret, self);
  const { daemon, client } = await startEtcd(workDir, { ...self, certificate });
  const rows = async (range: Range): Promise<(readonly [string, string])[]> =>
    (await client.list(range)).rows.map(({ key, value }) => [key, value] as const);
  const [states, endpoints, grants, readable] = await Promise.all([
    rows(RANGES.state),
    rows(RANGES.stateEndpoints),
    rows(RANGES.grants),
    rows(RANGES.readable),
  ]);
  const { endpoints: placed, memberships, admissions, peerings, pools, consents, sets, offers, winners } = RANGES;
  const left = (await Promise.all([placed, memberships, admissions, peerings, pools, consents, sets, offers, winners].map(rows))).flat();
  const known = new Map<string, Network>();
  for (const [, value] of states) {
    const state = parsed(networkState, value);
    const own = endpoints.filter(([key]) => partsOf(key)[1] === state.name).map(([, value]) => parsed(endpointState, value));
    known.set(state.name, { ...state, endpoints: byName(own) });
  }
  const given = (held: readonly (readonly [string, string])[]): Map<string, readonly string[]> =>
    new Map(held.map(([key, value]) => [partsOf(key)[1] ?? '', parsed(Type.Array(Type.String()), value)]));
  const rights = new Rights(client, given(grants), given(readable));
  await rights.open({
    controllers: config.controllers.map((c) => c.name),
    hosts: config.hosts.map((h) => h.name),
    gateways: config.gateways.map((g) => g.name),
    routers: config.networks.flatMap(({ name, routers }) => routers.map((endpoint) => ({ network: name, endpoint }))),
  });
  const controller = new Controller(
    config,
    client,
    {
      signing: signingKey(secret, self.name),
      verifying: new Map(config.controllers.map(({ name }) => [name, verifyingKey(secret, name)])),
    },
    rights,
    new Map(config.networks.map((n) => [n.name, known.get(n.name) ?? declared(n)])),
    new Map([...states, ...endpoints, ...left]),
  );
  await controller.open();
  const others = config.controllers
    .filter((c) => c.name !== self.name)
    .map((c) => [c.name, new EtcdClient({ ...c, port: ETCD_PORT }, certificate.credentials)] as const);

  const operations: Operations = {
    CreateExportPolicy: async (params) => {
      const { network, policy: name, ...policy } = validated(CONTROLLER_OPERATIONS.CreateExportPolicy, params);
      await controller.change(network, (n) => putPolicy(n, name, policy));
      return { policy: name };
    },
    CreatePeering: async (params) => {
      const {
        network,
        peer,
        export: policy = ALL,
        access = 'all',
        via = 'direct',
        preference = 0,
      } = validated(CONTROLLER_OPERATIONS.CreatePeering, params);
      await controller.change(network, (n) => agree(n, peer, { export: policy, access, preference, via }));
      return { peer };
    },
    DeletePeering: async (params) => {
      const { network, peer } = validated(CONTROLLER_OPERATIONS.DeletePeering, params);
      await controller.change(network, (n) => withdraw(n, peer));
      return { peer };
    },
    CreateEndpoints: async (params) => {
      const { network, address, count, host } = validated(CONTROLLER_OPERATIONS.CreateEndpoints, params);
      await controller.change(network, (n) => putEndpoints(n, address, count, host));
      return { count };
    },
    MoveEndpoint: async (params) => {
      const { network, endpoint, host } = validated(CONTROLLER_OPERATIONS.MoveEndpoint, params);
      return { endpoint, host, silent: await controller.move(network, endpoint, host) };
    },
    DescribeNetwork: async (params) => controller.describe(validated(CONTROLLER_OPERATIONS.DescribeNetwork, params).network),
  };
  return {
    counters: () => controller.counters,
    // Others are there now.
    ready: async () => {
      controller.follow(new Map([[self.name, client], ...others]));
      for (const { operation, params } of known.size > 0 ? [] : config.setup) await perform(operations, operation, params);
    },
    request: (operation, params) => perform(operations, operation, params),
    stop: async () => {
      controller.stop();
      for (const [, other] of others) other.close();
      client.close();
      await daemon.stop();
      rmSync(join(workDir, 'etcd'), { recursive: true, force: true });
    },
  };
}

const byName = (endpoints: readonly Endpoint[]): Map<string, Endpoint> => new Map(endpoints.map((e) => [e.name, e]));
const declared = ({ name, vnid, prefixes, endpoints, peerings, balancers }: OwnedNetwork): Network => ({
  name,
  vnid,
  prefixes,
  version: 0,
  learned: {},
  policies: {},
  peerings,
  balancers,
  endpoints: byName(endpoints),
});
