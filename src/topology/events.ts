/** Events of a phase: as written, to single happenings in the order of time. Pure. */
import { parseDurationUs } from '../core/units.ts';
import { mergePatch } from './matrix.ts';
import type { Happening, Lab, LabEvent, LabNode, System } from './model.ts';
import type { Path, Problem } from './problems.ts';
import type { EventFile } from './schema.ts';
import { expandAll } from './ranges.ts';
import { orProblem } from './references.ts';
import { suggest } from './validate.ts';

/** A change takes a command or two. */
const LEAST_EVERY_US = 10_000;

export interface EventScope {
  readonly nodes: readonly LabNode[];
  readonly systems: readonly System[];
  readonly phaseUs: number;
}

export function resolveEvents(events: readonly EventFile[], scope: EventScope, path: Path, problems: Problem[]): LabEvent[] {
  return events
    .flatMap((event, e) => expand(event, scope, [...path, e], problems))
    .sort((a, b) => a.atUs - b.atUs);
}

function expand(event: EventFile, scope: EventScope, path: Path, problems: Problem[]): LabEvent[] {
  const atUs = parseDurationUs(event.at);
  const lengthUs = parseDurationUs(('for' in event ? event.for : undefined) ?? '0s');
  if (atUs + lengthUs > scope.phaseUs) problems.push({ path, message: 'the event does not fit into its phase', hint: 'at + for must be at most the duration of the phase' });
  const pair = (first: Happening, second: Happening): LabEvent[] => [{ atUs, what: first }, { atUs: atUs + lengthUs, what: second }];
  if ('kill' in event) {
    checkAgents(event.kill, scope, [...path, 'kill'], problems);
    const fragile = scope.systems.find((s) => s.on.includes(event.kill) && s.crash !== 'restart');
    if (fragile) problems.push({ path: [...path, 'kill'], message: `a crash of ${fragile.name} voids the run`, hint: `systems.${fragile.name}.crash: restart` });
    return [{ atUs, what: { kind: 'kill', node: event.kill, downUs: lengthUs } }];
  }
  if ('pause' in event) {
    checkAgents(event.pause, scope, [...path, 'pause'], problems);
    return pair({ kind: 'pause', node: event.pause }, { kind: 'resume', node: event.pause });
  }
  if ('down' in event) {
    const [node, itf] = event.down.split(':') as [string, string];
    const known = scope.nodes.find((n) => n.name === node)?.interfaces.some((i) => i.name === itf) ?? false;
    if (!known) problems.push({ path: [...path, 'down'], message: `no link ends at "${event.down}"` });
    const end = { node, interface: itf };
    return pair({ kind: 'down', end }, { kind: 'up', end });
  }
  if ('configure' in event) {
    for (const name of Object.keys(event.configure)) {
      if (!scope.systems.some((s) => s.name === name)) problems.push({ path: [...path, 'configure', name], atKey: true, message: `this cell has no system "${name}"` });
    }
    return [{ atUs, what: { kind: 'configure', patches: event.configure } }];
  }
  if ('churn' in event) return churn(event, atUs, scope, path, problems);
  const kind = 'leave' in event ? 'leave' : 'join';
  return [{ atUs, what: { kind, nodes: hosts('leave' in event ? event.leave : event.join, scope, [...path, kind], problems) } }];
}

/** One change every so often: the hosts leave in turn, and each joins again when its turn comes round. */
function churn(event: Extract<EventFile, { churn: unknown }>, atUs: number, scope: EventScope, path: Path, problems: Problem[]): LabEvent[] {
  const names = hosts(event.churn, scope, [...path, 'churn'], problems);
  const everyUs = parseDurationUs(event.every);
  const untilUs = parseDurationUs(event.until);
  if (everyUs < LEAST_EVERY_US || names.length === 0 || untilUs <= atUs || untilUs > scope.phaseUs) {
    problems.push({ path, message: 'churn needs "every" of at least 10ms and "until" after "at", within the phase' });
    return [];
  }
  const changes: LabEvent[] = [];
  for (let i = 0; atUs + i * everyUs < untilUs; i++) {
    const name = names[i % names.length] as string;
    changes.push({ atUs: atUs + i * everyUs, what: { kind: Math.floor(i / names.length) % 2 === 0 ? 'leave' : 'join', nodes: [name] } });
  }
  return [...changes, { atUs: untilUs, what: { kind: 'join', nodes: names } }];
}

function hosts(value: string | string[], { nodes }: EventScope, path: Path, problems: Problem[]): string[] {
  const names = orProblem(() => expandAll(value), path, problems);
  for (const name of names) {
    const node = nodes.find((n) => n.name === name);
    if (!node) {
      const near = suggest(name, nodes.map((n) => n.name));
      problems.push({ path, message: `unknown node "${name}"`, ...(near ? { hint: `did you mean "${near}"?` } : {}) });
    } else if (node.kind !== 'linux') problems.push({ path, message: `"${name}" is a switch: only hosts come and go`, hint: 'use down: NODE:INTERFACE for its links' });
  }
  return names;
}

function checkAgents(node: string, { systems }: EventScope, path: Path, problems: Problem[]): void {
  if (!systems.some((s) => s.on.includes(node))) problems.push({ path, message: `no agent runs on "${node}"` });
}

/** The lab after a `configure` event: the systems' configurations are patched. */
export const reconfigured = (lab: Lab, patches: Readonly<Record<string, unknown>>): Lab => ({
  ...lab,
  systems: lab.systems.map((s) => (Object.hasOwn(patches, s.name) ? { ...s, config: mergePatch(s.config, patches[s.name]) as Record<string, unknown> } : s)),
});

/** In words, for logs and charts. */
export function describeHappening(what: Happening): string {
  switch (what.kind) {
    case 'kill': return `kill -9 on ${what.node}`;
    case 'pause': return `pause ${what.node}`;
    case 'resume': return `resume ${what.node}`;
    case 'down': return `${what.end.node}:${what.end.interface} down`;
    case 'up': return `${what.end.node}:${what.end.interface} up`;
    case 'configure': return `configure ${Object.keys(what.patches).join(', ')}`;
    case 'leave': return `${what.nodes.join(', ')} leaves`;
    case 'join': return `${what.nodes.length > 3 ? `${what.nodes.length} hosts` : what.nodes.join(', ')} joins`;
  }
}
