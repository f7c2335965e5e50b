/**
 * npm run bench [NAME…]: figures that depend on this machine, side by side with the tool they are held against.
 * Timing belongs here, not into tests.
 */
import { benchCapture } from './capture.ts';
import { benchClocks } from './clocks.ts';
import { benchContainers } from './containers.ts';
import { benchDelay } from './delay.ts';
import { benchDeploy } from './deploy.ts';
import { benchGatekeeper } from './gatekeeper.ts';
import { benchHub } from './hub.ts';
import { benchHubChurn } from './hubchurn.ts';
import { benchHubNames } from './hubnames.ts';
import { benchHubScale } from './hubscale.ts';
import { benchMesh } from './mesh.ts';
import { benchPop } from './pop.ts';
import { benchReplication } from './replication.ts';

const BENCHES: Readonly<Record<string, () => void | Promise<void>>> = {
  deploy: benchDeploy,
  capture: benchCapture,
  delay: benchDelay,
  containers: benchContainers,
  clocks: benchClocks,
  gatekeeper: benchGatekeeper,
  replication: benchReplication,
  pop: benchPop,
  hub: benchHub,
  'hub-churn': benchHubChurn,
  'hub-names': benchHubNames,
  'hub-scale': benchHubScale,
  mesh: benchMesh,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) {
  process.stderr.write(`no bench ${unknown.join(', ')}; there are: ${Object.keys(BENCHES).join(', ')}\n`);
  process.exit(2);
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stdout.write(`\n== ${name}\n`);
  await bench();
}
