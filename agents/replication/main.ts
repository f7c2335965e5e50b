import { serveAgent } from '../lib/rpc.ts';
import { ReplicationAgent } from './agent.ts';

serveAgent(new ReplicationAgent());
