/** Options that several commands share, parsed once. */
import { styleText } from 'node:util';
import { InvalidArgumentError, type Command } from 'commander';
import { isName } from '../core/names.ts';
import { DURATION_PATTERN, parseDurationUs } from '../core/units.ts';
import type { RigPlan } from '../rig/rigfile.ts';
import type { LoadOptions } from '../topology/load.ts';

export interface TopologyOptions {
  readonly set: Record<string, string>;
  readonly filter: string[];
  readonly repeat?: number;
  readonly untilDecided?: number;
  readonly name?: string;
}

export const collectSet = (text: string, before: Record<string, string>): Record<string, string> => {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('expected key=value');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
};

export const collect = (text: string, before: string[]): string[] => [...before, text];

export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number of at least 1');
  return value;
}

export function parseLabName(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError('expected a letter, then up to 31 letters, digits, "-" or "_"');
  return text;
}

/** Loads the parser and the systems only now: commands without a topology start without them. */
export async function load(file: string, options: TopologyOptions, rig: RigPlan | null = null) {
  const [{ loadExperiment }, { checksOf, checkSystems }] = await Promise.all([
    import('../topology/load.ts'),
    import('../systems/registry.ts'),
  ]);
  const loadOptions: LoadOptions = {
    set: options.set,
    filter: options.filter,
    checksOf,
    checkSystems,
    // Loaded for topologies that have filters only.
    checkFilters: async (filters) => (await import('../capture/libpcap/index.ts')).checkFilters(filters),
    rigVars: rig?.vars ?? {},
    ...(options.repeat === undefined ? {} : { repeat: options.repeat }),
    ...(options.untilDecided === undefined ? {} : { untilDecided: options.untilDecided }),
    ...(options.name === undefined ? {} : { name: options.name }),
  };
  const loaded = await loadExperiment(file, loadOptions);
  for (const warning of loaded.experiment.warnings) process.stderr.write(`${styleText('yellow', 'warning')}: ${warning}\n`);
  return loaded;
}

export interface RigOptions {
  readonly on?: string;
  readonly wait?: string;
}

export function addRigOptions(command: Command): Command {
  return command
    .option('--on <rig>', 'rig file: the machines to use (default: namespaces on this one)')
    .option('--wait <duration>', 'wait this long for a rig that somebody else uses, e.g. 30m', parseWait);
}

export const loadRigOf = async ({ on }: RigOptions): Promise<RigPlan | null> =>
  on === undefined ? null : (await import('../rig/rigfile.ts')).loadRig(on);
export const waitOf = ({ wait }: RigOptions): number => (wait === undefined ? 0 : parseDurationUs(wait) / 1000);

function parseWait(text: string): string {
  if (!new RegExp(DURATION_PATTERN).test(text)) throw new InvalidArgumentError('expected a duration such as "30m"');
  return text;
}
