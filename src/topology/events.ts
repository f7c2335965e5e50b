/** Events of a phase: as written, to single actions in the order of time. Pure. */
import { formatDurationUs, parseDurationUs, parseFraction } from '../core/units.ts';
import { mergePatch } from './matrix.ts';
import type { Allowance } from './bounds.ts';
import { changeProblems } from './kernelrules.ts';
import type { Action, Impairment, Lab, LabEvent, Link, LinkChange, System } from './model.ts';
import { endpointName, isDelayed } from './lab.ts';
import type { Path, Problem } from '../core/config/problems.ts';
import type { EventFile } from './schema.ts';
import { expandAll } from '../core/config/ranges.ts';
import { orProblem, requireNode, type Nodes } from './references.ts';
import { suggest } from '../core/config/validate.ts';

/** A change takes a command or two. */
const LEAST_EVERY_US = 10_000;
/** Of a change that takes a while. */
const MOST_STEPS = 100;

export interface EventScope {
  readonly nodes: Nodes;
  readonly links: readonly Link[];
  readonly systems: readonly System[];
  readonly phaseUs: number;
  /** What links do after the events before, by id and direction: changed by those that are resolved. */
  readonly current: Map<string, Impairment>;
  readonly eventsLeft: Allowance;
}

type Made = Omit<LabEvent, 'index'>;

export function resolveEvents(events: readonly EventFile[], scope: EventScope, path: Path, problems: Problem[]): LabEvent[] {
  return events
    .map((event, e) => ({ event, e }))
    .sort((a, b) => parseDurationUs(a.event.at) - parseDurationUs(b.event.at))
    .flatMap(({ event, e }) => expand(event, scope, [...path, e], problems).map((made): LabEvent => ({ ...made, index: e })))
    .sort((a, b) => a.atUs - b.atUs);
}

function expand(event: EventFile, scope: EventScope, path: Path, problems: Problem[]): Made[] {
  const atUs = parseDurationUs(event.at);
  const lengthUs = parseDurationUs(('for' in event ? event.for : undefined) ?? '0s');
  if (atUs + lengthUs > scope.phaseUs)
    problems.push({ path, message: 'the event does not fit into its phase', hint: 'at + for must be at most the duration of the phase' });
  const pair = (first: Action, second: Action): Made[] => [
    { atUs, what: first },
    { atUs: atUs + lengthUs, what: second },
  ];
  if ('kill' in event) {
    checkAgents(event.kill, scope, [...path, 'kill'], problems);
    const fragile = scope.systems.find((s) => s.on.includes(event.kill) && s.crash !== 'restart');
    if (fragile)
      problems.push({
        path: [...path, 'kill'],
        message: `a crash of ${fragile.name} voids the run`,
        hint: `systems.${fragile.name}.crash: restart`,
      });
    return [{ atUs, what: { kind: 'kill', node: event.kill, downUs: lengthUs } }];
  }
  if ('pause' in event) {
    checkAgents(event.pause, scope, [...path, 'pause'], problems);
    return pair({ kind: 'pause', node: event.pause }, { kind: 'resume', node: event.pause });
  }
  if ('down' in event) {
    const [node, itf] = event.down.split(':') as [string, string];
    const known = scope.nodes.get(node)?.interfaces.some((i) => i.name === itf) ?? false;
    if (!known) problems.push({ path: [...path, 'down'], message: `no link ends at "${event.down}"` });
    const end = { node, interface: itf };
    return pair({ kind: 'down', end }, { kind: 'up', end });
  }
  if ('configure' in event) {
    for (const name of Object.keys(event.configure)) {
      if (!scope.systems.some((s) => s.name === name))
        problems.push({ path: [...path, 'configure', name], atKey: true, message: `this cell has no system "${name}"` });
    }
    return [{ atUs, what: { kind: 'configure', patches: event.configure } }];
  }
  if ('churn' in event) return churn(event, atUs, scope, path, problems);
  if ('impair' in event) return impair(event, atUs, scope, path, problems);
  if ('request' in event) {
    const { system, node, operation, params = {} } = event.request;
    const known = scope.systems.find((s) => s.name === system);
    const near = known
      ? suggest(node, known.on)
      : suggest(
          system,
          scope.systems.map((s) => s.name),
        );
    const hint = near ? { hint: `did you mean "${near}"?` } : {};
    if (!known) problems.push({ path: [...path, 'request', 'system'], message: `this cell has no system "${system}"`, ...hint });
    else if (!known.on.includes(node))
      problems.push({ path: [...path, 'request', 'node'], message: `no agent of "${system}" runs on "${node}"`, ...hint });
    const what: Action = {
      kind: 'request',
      system,
      node,
      operation,
      params,
      expected: event.expect ?? null,
      ...(event.answer === undefined ? {} : { answer: event.answer }),
    };
    return timesOf(event, atUs, scope, path, problems).map((askedUs): Made => ({ atUs: askedUs, what }));
  }
  const kind = 'leave' in event ? 'leave' : 'join';
  return [{ atUs, what: { kind, nodes: hosts('leave' in event ? event.leave : event.join, scope, [...path, kind], problems) } }];
}

/** What a link does changes: at once, or in steps from what it did before. */
function impair(
  event: Extract<EventFile, { impair: unknown }>,
  atUs: number,
  { links, phaseUs, current, eventsLeft }: EventScope,
  path: Path,
  problems: Problem[],
): Made[] {
  const link = links.find((l) => l.ends.some((e) => endpointName(e) === event.impair));
  if (!link) {
    problems.push({ path: [...path, 'impair'], message: `no link ends at "${event.impair}"` });
    return [];
  }
  const out = endpointName(link.ends[0]) === event.impair ? 0 : 1;
  const directions = event.direction === 'out' ? [out] : event.direction === 'in' ? [1 - out] : [0, 1];
  const overUs = parseDurationUs(event.over ?? '0s');
  if (atUs + overUs > phaseUs)
    problems.push({ path, message: 'the event does not fit into its phase', hint: 'at + over must be at most the duration of the phase' });
  if (directions.some((d) => !isDelayed(link.impairments[d] as Impairment)))
    problems.push({
      path: [...path, 'impair'],
      message: `the link of ${event.impair} has nothing that delays or loses packets there`,
      hint: 'declare a delay for it, if only 1us',
    });
  if (event.jitter !== undefined && directions.some((d) => (link.impairments[d] as Impairment).jitterUs === 0))
    problems.push({
      path: [...path, 'jitter'],
      message: 'a link that declares no jitter cannot get it later',
      hint: 'declare one, if only 1us',
    });
  const before = directions.map((d) => current.get(`${link.id} ${d}`) ?? (link.impairments[d] as Impairment));
  const steps = Math.max(1, Math.min(MOST_STEPS, Math.floor(overUs / LEAST_EVERY_US)));
  problems.push(...changeProblems(event, path));
  if (!eventsLeft.take(steps, path, problems)) return [];
  return Array.from({ length: steps }, (_, i): Made => {
    const share = (i + 1) / steps;
    const towards = (from: number, to: number | undefined) => (to === undefined ? from : from + (to - from) * share);
    const changes = directions.map((direction, d): LinkChange => {
      const from = before[d] as Impairment;
      const to = {
        delay: event.delay === undefined ? undefined : parseDurationUs(event.delay),
        jitter: event.jitter === undefined ? undefined : parseDurationUs(event.jitter),
        loss: event.loss === undefined ? undefined : parseFraction(event.loss),
      };
      const reached = {
        ...from,
        delayUs: towards(from.delayUs, to.delay),
        jitterUs: towards(from.jitterUs, to.jitter),
        loss: towards(from.loss, to.loss),
      };
      current.set(`${link.id} ${direction}`, reached);
      return { direction: direction as 0 | 1, to: reached };
    });
    return { atUs: atUs + overUs * (i / steps), what: { kind: 'impair', link: link.id, changes } };
  });
}

/** When a request is asked: once, or every so often. */
function timesOf(
  { every, until }: Pick<Extract<EventFile, { request: unknown }>, 'every' | 'until'>,
  atUs: number,
  { phaseUs, eventsLeft }: EventScope,
  path: Path,
  problems: Problem[],
): number[] {
  if (every === undefined && until === undefined) return [atUs];
  const [everyUs, untilUs] = [parseDurationUs(every ?? '0s'), parseDurationUs(until ?? '0s')];
  if (everyUs >= LEAST_EVERY_US && untilUs > atUs && untilUs <= phaseUs) {
    const times = Math.ceil((untilUs - atUs) / everyUs);
    return eventsLeft.take(times, path, problems) ? Array.from({ length: times }, (_, i) => atUs + i * everyUs) : [];
  }
  problems.push({ path, message: 'a repeated request needs "every" of at least 10ms and "until" after "at", within the phase' });
  return [];
}

/** One change every so often: the hosts leave in turn, and each joins again when its turn comes round. */
function churn(event: Extract<EventFile, { churn: unknown }>, atUs: number, scope: EventScope, path: Path, problems: Problem[]): Made[] {
  const names = hosts(event.churn, scope, [...path, 'churn'], problems);
  const everyUs = parseDurationUs(event.every);
  const untilUs = parseDurationUs(event.until);
  if (everyUs < LEAST_EVERY_US || names.length === 0 || untilUs <= atUs || untilUs > scope.phaseUs) {
    problems.push({ path, message: 'churn needs "every" of at least 10ms and "until" after "at", within the phase' });
    return [];
  }
  if (!scope.eventsLeft.take(Math.ceil((untilUs - atUs) / everyUs), path, problems)) return [];
  const changes: Made[] = [];
  for (let i = 0; atUs + i * everyUs < untilUs; i++) {
    const name = names[i % names.length] as string;
    changes.push({ atUs: atUs + i * everyUs, what: { kind: Math.floor(i / names.length) % 2 === 0 ? 'leave' : 'join', nodes: [name] } });
  }
  return [...changes, { atUs: untilUs, what: { kind: 'join', nodes: names } }];
}

function hosts(value: string | readonly string[], { nodes }: EventScope, path: Path, problems: Problem[]): string[] {
  const names = orProblem(() => expandAll(value), path, problems);
  for (const name of names) {
    const node = requireNode(name, nodes, path, problems);
    if (node && node.kind !== 'linux')
      problems.push({ path, message: `"${name}" is a switch: only hosts come and go`, hint: 'use down: NODE:INTERFACE for its links' });
  }
  return names;
}

function checkAgents(node: string, { systems }: EventScope, path: Path, problems: Problem[]): void {
  if (!systems.some((s) => s.on.includes(node))) problems.push({ path, message: `no agent runs on "${node}"` });
}

/** The lab after a `configure` event: the systems' configurations are patched. */
export const reconfigured = (lab: Lab, patches: Readonly<Record<string, unknown>>): Lab => ({
  ...lab,
  systems: lab.systems.map((s) =>
    Object.hasOwn(patches, s.name) ? { ...s, config: mergePatch(s.config, patches[s.name]) as Record<string, unknown> } : s,
  ),
});

/** In words, for logs and charts. */
export function describeAction(what: Action): string {
  switch (what.kind) {
    case 'kill':
      return `kill -9 on ${what.node}`;
    case 'pause':
      return `pause ${what.node}`;
    case 'resume':
      return `resume ${what.node}`;
    case 'down':
      return `${what.end.node}:${what.end.interface} down`;
    case 'up':
      return `${what.end.node}:${what.end.interface} up`;
    case 'configure':
      return `configure ${Object.keys(what.patches).join(', ')}`;
    case 'leave':
      return `${what.nodes.join(', ')} leaves`;
    case 'impair':
      return `${what.link}: ${what.changes.map(({ to }) => `${formatDurationUs(to.delayUs)}${to.jitterUs > 0 ? ` ± ${formatDurationUs(to.jitterUs)}` : ''}${to.loss > 0 ? `, ${to.loss * 100} % lost` : ''}`).join(' and back ')}`;
    case 'request':
      return `${what.operation} asked of ${what.node}`;
    case 'join':
      return `${what.nodes.length > 3 ? `${what.nodes.length} hosts` : what.nodes.join(', ')} joins`;
  }
}
