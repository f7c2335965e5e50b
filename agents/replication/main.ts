import { setPriority } from 'node:os';
import { serveAgent } from '../lib/rpc.ts';
import { ReplicationAgent } from './agent.ts';

// What decides can wait; the kernel's threads that carry packets must not wait for it.
setPriority(10);
serveAgent(new ReplicationAgent());
