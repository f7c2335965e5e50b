/**
 * First signal: stop and tear down. A second Ctrl-C: die at once; `netrig destroy` cleans up. Other signals are no wish of a
 * person: a terminal that is closed sends SIGHUP twice, and a service manager that has waited long enough sends SIGKILL.
 */
import { EXIT } from '../core/errors.ts';
import { EventBus } from '../core/events.ts';
import type { Context } from '../core/context.ts';

export function interruptibleContext(): Context {
  const controller = new AbortController();
  const events = new EventBus();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      if (signal === 'SIGINT') process.exit(EXIT.interrupted);
      return;
    }
    events.emit({ type: 'note', level: 'warn', text: 'stopping and tearing down; press Ctrl-C again to die at once' });
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);
  return { signal: controller.signal, events };
}
