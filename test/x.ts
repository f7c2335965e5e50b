import { loadExperiment } from '../src/topology/load.ts';
import { planDeployment } from '../src/fabric/plan.ts';
import { probeFabric } from '../src/fabric/capabilities.ts';
import { deploy, destroyLab, namespaceOf, Rig, wiresNamespace } from '../src/rig/rig.ts';
import { stateDirOf } from '../src/rig/journal.ts';
import { quietContext } from '../src/core/context.ts';
import { testLinks } from '../src/fabric/linktest.ts';
import { renderPlan } from '../src/rig/steps.ts';
import { join } from 'node:path';
const t = () => performance.now().toFixed(0);
try { 
  const { experiment } = await loadExperiment(process.argv[2]!);
  const lab = experiment.cells[0]!;
  console.log(t(), 'loaded');
  const capabilities = await probeFabric(Rig.machine());
  console.log(t(), capabilities);
  const nativeDir = join(import.meta.dirname, '..', 'build');
  const plan = planDeployment({ lab: lab.name, fabric: lab.fabric, capabilities, stateDir: stateDirOf(lab.name), namespaceOf: (n) => namespaceOf(lab.name, n), wiresNamespace: wiresNamespace(lab.name), nativeDir });
  if (lab.fabric.nodes.length < 10) console.log(renderPlan(plan));
  const ctx = quietContext();
  await deploy(ctx, plan, 'x');
  console.log(t(), 'deployed');
  const m = await testLinks(ctx, { fabric: lab.fabric, tolerance: lab.tolerance, machine: Rig.machine(lab.name), netnsPath: (n) => Rig.netnsPath(lab.name, n), nativeDir });
  console.log(t(), 'tested'); 
  if (lab.fabric.nodes.length < 10) console.table(m.map(({declared, ...r}) => r));
  if (process.argv[3] !== 'keep') await destroyLab(lab.name);
  console.log(t(), 'destroyed');
} catch (e) { console.log((e as Error).message, (e as any).hint); if (!(e as any).code) console.log(e)}
