/** Who may import whom. eslint resolves the paths, so that no number of "../" gets round a wall. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What a folder of src may import beside itself and core. */
export const layers = {
  core: [],
  topology: [],
  evidence: ['topology'],
  rig: ['evidence', 'topology'],
  fabric: ['evidence', 'rig', 'topology'],
  traffic: ['evidence', 'rig', 'topology'],
  capture: ['evidence', 'rig', 'topology'],
  clocks: ['evidence', 'rig', 'topology'],
  checks: ['capture', 'clocks', 'evidence', 'topology', 'traffic'],
  systems: ['checks', 'evidence', 'rig', 'topology'],
  report: ['capture', 'checks', 'clocks', 'evidence', 'systems', 'topology'],
  run: ['capture', 'clocks', 'evidence', 'fabric', 'rig', 'systems', 'topology', 'traffic'],
  cli: ['capture', 'checks', 'report', 'rig', 'run', 'systems', 'topology'],
};

/** What agents may import of src: what they are built with, and what reads their evidence. Not what runs them. */
export const forAgents = ['capture', 'checks', 'clocks', 'core', 'evidence', 'fabric', 'report', 'systems', 'topology', 'traffic'];

/** Zones of import-x/no-restricted-paths: files of `target` must not import files of `from`. */
export function walls() {
  const folders = Object.keys(layers);
  const systems = readdirSync(join(import.meta.dirname, 'agents')).filter((name) => name !== 'lib');
  const zone = (target, from, message) => ({ target: `./${target}`, from: from.map((folder) => `./${folder}`), message });
  return [
    ...folders.map((folder) => {
      const closed = folders.filter((other) => other !== folder && other !== 'core' && !layers[folder].includes(other));
      return zone(
        `src/${folder}`,
        [...closed.map((other) => `src/${other}`), 'agents'],
        `src/${folder} may import: ${[...layers[folder], 'core'].join(', ')}`,
      );
    }),
    ...systems.map((system) =>
      zone(
        `agents/${system}`,
        systems.filter((other) => other !== system).map((other) => `agents/${other}`),
        'systems do not know each other: what they share is in agents/lib',
      ),
    ),
    zone(
      'agents/lib',
      systems.map((system) => `agents/${system}`),
      'agents/lib knows no system',
    ),
    zone(
      'agents',
      folders.filter((folder) => !forAgents.includes(folder)).map((folder) => `src/${folder}`),
      `agents may import of src: ${forAgents.join(', ')}`,
    ),
    zone('src', ['test', 'bench', 'lab'], 'src knows neither tests nor benches'),
    zone('agents', ['test', 'bench', 'lab'], 'agents know neither tests nor benches'),
  ];
}
