/** Finds systems under test by the name of their folder, and asks them to plan. Adding a system adds a folder, nothing here. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BUILT_IN } from '../checks/builtin/index.ts';
import type { Check, Checks } from '../checks/check.ts';
import { formatDurationUs } from '../core/units.ts';
import { reconfigured } from '../topology/events.ts';
import { importModule } from '../core/bundled.ts';
import type { Lab } from '../topology/model.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import { topologySchema } from '../topology/schema.ts';
import { schemaOfTarget } from '../topology/checks.ts';
import { problemsOf, suggest } from '../core/config/validate.ts';
import type { AgentSpec, SystemDefinition } from './definition.ts';

const AGENTS_DIR = join(import.meta.dirname, '../../agents');

const systemFile = (name: string): string => join(AGENTS_DIR, name, 'system.ts');

export const knownSystems = (): string[] => readdirSync(AGENTS_DIR).filter((name) => existsSync(systemFile(name)));

/** undefined: there is no such system. Names come from files of users, so they are looked up, not joined into a path. */
export async function findSystem(name: string): Promise<SystemDefinition | undefined> {
  if (!knownSystems().includes(name)) return undefined;
  const module = (await importModule(pathToFileURL(systemFile(name)))) as { system: SystemDefinition };
  return module.system;
}

/** Everything that is wrong with the systems of a lab, also after each of its `configure` events, with paths into the topology file. */
export async function checkSystems(lab: Lab): Promise<Problem[]> {
  const invalid = await checkConfigurations(lab);
  if (invalid.length > 0) return invalid;
  // Only where the configuration is sound can it be told who answers what.
  const problems = await checkRequests(lab);
  if (problems.length > 0) return problems;
  let current = lab;
  for (const [p, phase] of lab.phases.entries()) {
    for (const { atUs, what } of phase.events) {
      if (what.kind !== 'configure') continue;
      current = reconfigured(current, what.patches);
      problems.push(...(await fixedKeys(what.patches, ['traffic', p, 'events'])));
      const found = await checkConfigurations(current);
      problems.push(
        ...found.map((problem) => ({
          path: ['traffic', p, 'events'],
          message: `after the event at ${formatDurationUs(atUs)}: ${problem.message}`,
          ...(problem.hint ? { hint: problem.hint } : {}),
        })),
      );
    }
  }
  return problems;
}

/** Requests that are not expected to be refused, as far as the system knows beforehand. */
async function checkRequests(lab: Lab): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [p, phase] of lab.phases.entries()) {
    for (const { what, index } of phase.events) {
      if (what.kind !== 'request' || what.expected !== null) continue;
      const own = lab.systems.find((s) => s.name === what.system);
      const definition = own && (await findSystem(own.name));
      const found = definition?.requests?.(own?.config, lab, own?.on ?? [], what.node, what.operation, what.params) ?? [];
      problems.push(...found.map((problem) => ({ ...problem, path: ['traffic', p, 'events', index, 'request', ...problem.path] })));
    }
  }
  return problems;
}

/** Keys of a patch that the running agents would not adopt. */
async function fixedKeys(patches: Readonly<Record<string, unknown>>, path: Path): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [name, patch] of Object.entries(patches)) {
    const fixed = (await findSystem(name))?.fixed ?? [];
    for (const key of Object.keys(patch as object))
      if (fixed.includes(key))
        problems.push({ path, message: `"${key}" of ${name} cannot change while its agents run`, hint: 'make it a variant of the matrix' });
  }
  return problems;
}

async function checkConfigurations(lab: Lab): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const { name, config, on } of lab.systems) {
    const path = ['systems', name];
    const definition = await findSystem(name);
    if (!definition) {
      const near = suggest(name, knownSystems());
      problems.push({
        path,
        atKey: true,
        message: `unknown system "${name}"`,
        hint: near ? `did you mean "${near}"?` : `systems: ${knownSystems().join(', ')}`,
      });
      continue;
    }
    const invalid = problemsOf(definition.configSchema, config, `system ${name}`);
    const found = invalid.length > 0 ? invalid : definition.plan(config, lab, on).problems;
    problems.push(...found.map((p) => ({ ...p, path: [...path, 'config', ...p.path] })));
  }
  return problems;
}

/** Those of the testbed; with those of systems where another is named. Modules of systems take their time to load. */
export async function checksOf(named: readonly string[]): Promise<Checks> {
  return named.every((name) => BUILT_IN.has(name)) ? BUILT_IN : allChecks();
}

/** Systems that bring one of these checks. */
export async function systemsOfChecks(named: readonly string[]): Promise<string[]> {
  if (named.every((name) => BUILT_IN.has(name))) return [];
  return (await bySystem()).flatMap(({ system, checks }) => (checks.some((check) => named.includes(check.name)) ? [system] : []));
}

async function allChecks(): Promise<Checks> {
  return new Map([...BUILT_IN, ...(await bySystem()).flatMap(({ checks }) => checks).map((check) => [check.name, check] as const)]);
}

async function bySystem(): Promise<{ system: string; checks: readonly Check[] }[]> {
  const definitions = await Promise.all(knownSystems().map(findSystem));
  return Promise.all(
    definitions
      .flatMap((d) => (d?.checks ? [{ name: d.name, module: d.checks }] : []))
      .map(async ({ name, module }) => ({ system: name, checks: ((await importModule(module)) as { checks: readonly Check[] }).checks })),
  );
}

/** The schema of topology files with the targets of all checks: for editors. */
export async function editorSchema(): Promise<object> {
  const schema = structuredClone(topologySchema) as unknown as { properties: { targets: { items: object } } };
  schema.properties.targets.items = { anyOf: [...(await allChecks()).values()].map(schemaOfTarget) };
  return schema;
}

export interface PlannedSystem {
  readonly definition: SystemDefinition;
  readonly crash: 'void' | 'restart';
  readonly agents: readonly AgentSpec[];
}

export async function planSystems(lab: Lab): Promise<PlannedSystem[]> {
  const planned: PlannedSystem[] = [];
  for (const { name, config, on, crash } of lab.systems) {
    const definition = await findSystem(name);
    if (definition) planned.push({ definition, crash, agents: definition.plan(config, lab, on).agents });
  }
  return planned;
}
