/** Many steps in one call of native/nsrun: how they are written to it, and what comes back. Pure. */
import type { Chains, Step, StepHost } from './steps.ts';

export interface StepResult {
  readonly step: Step;
  readonly status: number;
  readonly output: string;
}

/** With its length before it, so that no byte of a text is taken for its end. */
const counted = (text: string): string => `${Buffer.byteLength(text)}:${text},`;

/** A program's argument ends at the first NUL: what follows would be lost. */
function word(text: string, step: Step): string {
  if (text.includes('\0')) throw new Error(`${step.title}: a NUL in ${JSON.stringify(text)}`);
  return counted(text);
}

/** The stage in nsrun's input format; `namespaceOf` gives null for the machine itself. */
export function encodeStage(chains: Chains, namespaceOf: (host: StepHost) => string | null): string {
  const record = (step: Step, chain: number): string => {
    const env = Object.entries(step.env ?? {}).map(([key, value]) => `${key}=${value}`);
    const words = [namespaceOf(step.host) ?? '-', ...step.argv, ...env].map((text) => word(text, step)).join('');
    return `${chain} ${step.argv.length} ${env.length}\n${words}${counted(step.stdin ?? '')}\n`;
  };
  return chains.map((chain, c) => chain.map((step) => record(step, c)).join('')).join('');
}

/** Results in the order in which steps ended; steps that were never started are not among them. */
export function decodeResults(chains: Chains, text: string): StepResult[] {
  const steps = chains.flat();
  const bytes = Buffer.from(text);
  const results: StepResult[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at);
    if (end < 0) break;
    const [index = -1, status = -1, length = 0] = bytes.toString('utf8', at, end).split(' ').map(Number);
    const step = steps[index];
    if (!step) break;
    results.push({ step, status, output: bytes.toString('utf8', end + 1, end + 1 + length).trim() });
    at = end + 1 + length + 1;
  }
  return results;
}
