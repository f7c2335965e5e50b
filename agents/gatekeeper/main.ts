import { serveAgent } from '../lib/rpc.ts';
import { GatekeeperAgent } from './agent.ts';

serveAgent(new GatekeeperAgent());
