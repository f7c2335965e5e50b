/** Names of what a lab has on a machine. Blanks, dots and "+" cannot be in lab or node names, so these never collide. Pure. */
import type { StepHost } from './steps.ts';

export const NETNS_DIR = '/run/netns';

/** Marks every process of a lab and its children, so that `destroy` finds them whatever became of their parent. */
export const LAB_ENV = 'NETRIG_LAB';

/** Labels of a lab's containers. */
export const LAB_LABEL = 'netrig.lab';

export const namespaceOf = (lab: string, node: string): string => `nr.${lab}.${node}`;
export const linksNamespace = (lab: string): string => `nr.${lab}.+links`;
export const containerOf = (lab: string, node: string): string => `nr.${lab}.${node}`;

/** null: the machine's own namespace. */
export function namespaceOfStep(lab: string, host: StepHost): string | null {
  switch (host.on) {
    case 'machine':
      return null;
    case 'node':
      return namespaceOf(lab, host.node);
    case 'links':
      return linksNamespace(lab);
  }
}
