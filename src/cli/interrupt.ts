/** First Ctrl-C or SIGTERM: stop and tear down. Second: die at once; `netrig destroy` cleans up. */
import { EXIT } from '../core/errors.ts';
import { EventBus } from '../core/events.ts';
import type { Context } from '../core/context.ts';

export function interruptibleContext(): Context {
  const controller = new AbortController();
  const events = new EventBus();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    events.emit({ type: 'note', level: 'warn', text: 'stopping and tearing down; press Ctrl-C again to die at once' });
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);
  return { signal: controller.signal, events };
}
