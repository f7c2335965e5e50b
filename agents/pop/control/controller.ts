/** Central controller: what it is asked for, and what its law makes of feedback, as versions of policies (R3 sections 2, 3). */
import { parseFraction } from '../../../src/core/units.ts';
import { connect, type Peer } from '../../lib/channel.ts';
import { log, Refusal, type AgentSetup } from '../../lib/rpc.ts';
import type { NodeRole } from '../../lib/role.ts';
import type { AgentConfig, PolicyRequest } from '../config.ts';
import { known, validated } from '../../lib/params.ts';
import { CONTROLLER_OPERATIONS } from '../operations.ts';
import { HostNetwork } from '../../lib/hostnetwork.ts';
import {
  MANAGER_PORT,
  type ControllerFunctions,
  type ManagerControlFunctions,
  type ManagerStatus,
  type Policies,
  type PopFeedback,
} from '../protocol.ts';
import { nextAmounts, type Amounts, type PopState } from './law.ts';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';

/** Intervals after which feedback is too old to decide by. */
const STALE_INTERVALS = 3;
/** Loads scatter: so many reports under the same policies are averaged. */
const REPORTS = 2;
const REACH_MS = 8000;

export class Controller {
  readonly #config: AgentConfig;
  readonly #managers = new Map<string, Peer<ManagerControlFunctions>>();
  /** The last ones of every PoP. */
  readonly #feedback = new Map<string, { readonly report: PopFeedback; readonly atMs: number }[]>();
  readonly #links: { close(): void }[] = [];
  /** Of managers that have come: what they know has been heard when these are done. */
  readonly #greetings: Promise<void>[] = [];
  /** By PoP, then service, then PoP that serves instead. */
  readonly #policies = new Map<string, Policies>();
  /** What each PoP's manager has. */
  readonly #applied = new Map<string, number>();
  readonly #strict: Set<string>;
  readonly #counters = { versions: 0, policiesMade: 0, policiesChanged: 0, policiesCancelled: 0, feedback: 0 };
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #turns = new SerialQueue();

  constructor(config: AgentConfig) {
    this.#config = config;
    this.#strict = new Set(config.pops.filter((p) => p.strict).map((p) => p.name));
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, version: this.#version };
  }

  start(secret: string): void {
    const local: ControllerFunctions = {
      feedback: (report) => {
        this.#counters.feedback += 1;
        this.#feedback.set(report.pop, [...(this.#feedback.get(report.pop) ?? []), { report, atMs: performance.now() }].slice(-REPORTS));
      },
    };
    for (const pop of this.#config.pops) {
      const node = this.#config.nodes.find((n) => n.name === pop.manager)!;
      this.#links.push(
        connect<ManagerControlFunctions>({
          address: node.address,
          port: MANAGER_PORT,
          secret,
          self: this.#config.self.name,
          peer: node.name,
          local,
          onPeer: (peer) => this.#greetings.push(this.#greet(pop.name, peer)),
        }),
      );
    }
    if (this.#config.law) this.#timer = setInterval(() => void this.#turns.run(() => this.#decide()), this.#config.intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const link of this.#links) link.close();
  }

  /** All PoPs have their first policies. */
  async ready(): Promise<void> {
    await until(() => this.#managers.size >= this.#config.pops.length, { withinMs: REACH_MS });
    await Promise.all(this.#greetings);
    // One that starts anew goes on where the PoPs are.
    if (this.#config.policies.length > 0 && this.#version === 0) await this.#turns.run(() => this.#set(this.#config.policies));
  }

  async request(operation: string, params: unknown): Promise<unknown> {
    const name = known(CONTROLLER_OPERATIONS, operation);
    switch (name) {
      case 'SetPolicies': {
        const { policies } = validated(CONTROLLER_OPERATIONS[name], params);
        return this.#turns.run(() =>
          this.#set(
            policies.map(({ from, to, service, amount }) => ({ from, to, service: service ?? null, amount: parseFraction(amount) })),
          ),
        );
      }
      case 'GetPolicies':
        return {
          version: this.#version,
          pops: Object.fromEntries(
            await Promise.all(
              [...this.#managers].map(async ([pop, m]): Promise<[string, ManagerStatus | null]> => [
                pop,
                await m.call.query().catch(() => null),
              ]),
            ),
          ),
        };
      case 'PullFeedback':
        return Object.fromEntries(
          await Promise.all(this.#config.pops.map(async ({ name: pop }): Promise<[string, PopFeedback]> => [pop, await this.#pull(pop)])),
        );
      case 'Strict': {
        const { pop, on } = validated(CONTROLLER_OPERATIONS[name], params);
        this.#known(pop);
        if (on) this.#strict.add(pop);
        else this.#strict.delete(pop);
        return { strict: [...this.#strict] };
      }
    }
  }

  async #pull(pop: string): Promise<PopFeedback> {
    const unreachable = (): never => {
      throw new Refusal('Unreachable', `the manager of ${pop} does not answer`);
    };
    const manager = this.#managers.get(pop) ?? unreachable();
    return manager.call.pull().catch(unreachable);
  }

  #known(pop: string): void {
    if (!this.#config.pops.some((p) => p.name === pop))
      throw new Refusal('UnknownPoP', `no PoP "${pop}"; there are: ${this.#config.pops.map((p) => p.name).join(', ')}`);
  }

  /** A manager that comes back has the last table (R3 section 9.12); a new one gets the last policies. */
  async #greet(pop: string, peer: Peer<ManagerControlFunctions>): Promise<void> {
    this.#managers.set(pop, peer);
    void peer.closed.then(() => {
      if (this.#managers.get(pop) === peer) this.#managers.delete(pop);
    });
    const status = await peer.call.query().catch(() => null);
    if (!status) return;
    this.#version = Math.max(this.#version, status.version);
    const known = this.#policies.get(pop);
    if (!known) this.#policies.set(pop, status.policies);
    else if (JSON.stringify(status.policies) !== JSON.stringify(known))
      await this.#turns
        .run(() => this.#apply(new Map([[pop, known]])))
        .catch((error: unknown) => log('warn', 'apply', { pop, why: (error as Error).message }));
  }

  async #set(requests: readonly PolicyRequest[]): Promise<{ version: number; changed: number }> {
    for (const { from, to, service, amount } of requests) {
      this.#known(from);
      this.#known(to);
      if (from === to) throw new Refusal('InvalidRequest', `/policies: ${from} cannot forward to itself`);
      if (service !== null && !this.#config.services.some((s) => s.name === service))
        throw new Refusal('UnknownService', `no service "${service}"; there are: ${this.#config.services.map((s) => s.name).join(', ')}`);
      if (service !== null && amount > 0 && !this.#serves(to, service))
        throw new Refusal('InvalidRequest', `/policies: ${to} has no server for "${service}"`);
      if (amount > 1) throw new Refusal('InvalidRequest', `/policies: ${amount * 100}% is more than there is`);
    }
    const next = new Map(this.#policies);
    for (const { from, to, service, amount } of requests) {
      const own: Record<string, Readonly<Record<string, number>>> = { ...next.get(from) };
      for (const s of this.#config.services.filter((s) =>
        service === null ? amount === 0 || this.#serves(to, s.name) : s.name === service,
      )) {
        const others = Object.entries(own[s.name] ?? {}).filter(([pop]) => pop !== to);
        const shares = Object.fromEntries(amount === 0 ? others : [...others, [to, amount]]);
        own[s.name] = shares;
        const sum = Object.values(shares).reduce((a, b) => a + b, 0);
        if (sum > 1 + 1e-9)
          throw new Refusal('InvalidRequest', `/policies: ${from} would forward ${Math.round(sum * 100)}% of "${s.name}"`);
      }
      next.set(from, own);
    }
    return this.#apply(new Map(requests.map((r) => [r.from, next.get(r.from)!])));
  }

  /** Counts what is made, changed and cancelled (R3-28). */
  #adopt(pop: string, policies: Policies): void {
    const flat = (all: Policies | undefined) =>
      new Map(
        Object.entries(all ?? {}).flatMap(([service, shares]) =>
          Object.entries(shares).map(([to, amount]) => [`${service} ${to}`, amount] as const),
        ),
      );
    const [before, after] = [flat(this.#policies.get(pop)), flat(policies)];
    for (const [key, amount] of after) {
      if (!before.has(key)) this.#counters.policiesMade += 1;
      else if (before.get(key) !== amount) this.#counters.policiesChanged += 1;
    }
    for (const key of before.keys()) if (!after.has(key)) this.#counters.policiesCancelled += 1;
    this.#policies.set(pop, policies);
  }

  /** What a PoP does not take is not adopted for it. */
  async #apply(policies: ReadonlyMap<string, Policies>): Promise<{ version: number; changed: number }> {
    this.#version += 1;
    const version = this.#version;
    this.#counters.versions += 1;
    const sentMs = Date.now();
    const done = await Promise.allSettled(
      [...policies].map(async ([pop, own]) => {
        const manager = this.#managers.get(pop);
        if (!manager) throw new Refusal('Unreachable', `the manager of ${pop} does not answer`);
        const { changed } = await manager.call.apply({ version, policies: own });
        this.#applied.set(pop, version);
        this.#adopt(pop, own);
        return changed;
      }),
    );
    const changed = done.reduce((sum, d) => sum + (d.status === 'fulfilled' ? d.value : 0), 0);
    log('info', 'policies', {
      version,
      sentMs,
      appliedMs: Date.now(),
      changed,
      policies: Object.fromEntries([...policies].filter((_, i) => done[i]?.status === 'fulfilled')),
    });
    const failed = done.find((d) => d.status === 'rejected');
    if (failed) throw failed.reason;
    return { version, changed };
  }

  /** One interval of the law. */
  async #decide(): Promise<void> {
    const { law, pops, feedbackMs, services } = this.#config;
    if (!law) return;
    const nowMs = performance.now();
    const states = pops.flatMap((pop): PopState[] => {
      const reports = this.#feedback.get(pop.name) ?? [];
      const known = reports.at(-1);
      if (!known) return [];
      const { servers, distanceMs, version } = known.report;
      const same = reports.filter((r) => r.report.version === version);
      const loads = Object.keys(servers).map((name) => {
        const own = same.flatMap((r) => r.report.servers[name]?.load ?? []);
        return own.reduce((a, b) => a + b, 0) / own.length;
      });
      const latencies = Object.values(servers).flatMap((s) => s.latencyMs ?? []);
      // Feedback of a PoP decides nothing while its own policies, or those that send to it, are newer.
      const senders = [
        pop.name,
        ...pops
          .map((p) => p.name)
          .filter((name) => Object.values(this.#policies.get(name) ?? {}).some((shares) => (shares[pop.name] ?? 0) > 0)),
      ];
      const isOlder =
        version < (this.#applied.get(pop.name) ?? 0) ||
        senders.some((name) => (this.#feedback.get(name)?.at(-1)?.report.version ?? -1) < (this.#applied.get(name) ?? 0));
      return [
        {
          name: pop.name,
          strict: this.#strict.has(pop.name),
          loads,
          latencyMs: latencies.length === 0 ? null : Math.max(...latencies),
          distanceMs,
          stale: nowMs - known.atMs > STALE_INTERVALS * feedbackMs || isOlder,
        },
      ];
    });
    log('debug', 'loads', {
      loads: Object.fromEntries(states.map((s) => [s.name, s.loads.map((l) => Math.round(l * 1000) / 1000)])),
      stale: states.filter((s) => s.stale).map((s) => s.name),
    });
    const before: Amounts = new Map(
      states.map(({ name }) => [name, new Map(Object.entries(averaged(this.#policies.get(name), services.length)))]),
    );
    const after = nextAmounts(states, before, law);
    if (after === before) return;
    const changed = [...after].filter(([pop, shares]) => !isSame(shares, before.get(pop)) && this.#managers.has(pop)).map(([pop]) => pop);
    // The law's amounts are of a PoP's traffic as a whole: every service's flows alike, where the other PoP has it.
    const policies = new Map(
      changed.map((pop): [string, Policies] => [
        pop,
        Object.fromEntries(
          services.map((s) => [s.name, Object.fromEntries([...after.get(pop)!].filter(([to]) => this.#serves(to, s.name)))]),
        ),
      ]),
    );
    if (changed.length > 0)
      await this.#apply(policies).catch((error: unknown) => log('warn', 'decision', { why: (error as Error).message }));
  }

  #serves(pop: string, service: string): boolean {
    const servers = this.#config.services.find((s) => s.name === service)?.servers ?? [];
    return this.#config.pops.find((p) => p.name === pop)?.servers.some((s) => servers.includes(s)) ?? false;
  }
}

function averaged(policies: Policies | undefined, services: number): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const shares of Object.values(policies ?? {}))
    for (const [to, amount] of Object.entries(shares)) sums[to] = (sums[to] ?? 0) + amount / services;
  return sums;
}

const isSame = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number> | undefined): boolean =>
  a.size === (b?.size ?? 0) && [...a].every(([to, amount]) => b?.get(to) === amount);

export async function startController({ config, secret }: AgentSetup<AgentConfig>): Promise<NodeRole> {
  const network = new HostNetwork();
  if (config.gateway !== null) await network.addDefaultRoute(config.gateway);
  const controller = new Controller(config);
  controller.start(secret);
  return {
    counters: () => controller.counters,
    ready: () => controller.ready(),
    request: (operation, params) => controller.request(operation, params),
    stop: async () => {
      controller.stop();
      await network.stop();
    },
  };
}
