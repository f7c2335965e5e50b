/** What an on-premises network's own router announces to its gateway by BGP, as it comes and goes (R1-27). */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { SerialQueue } from '../../../src/core/serial.ts';
import { until } from '../../../src/core/until.ts';
import { startBird } from '../../lib/bird.ts';
import { log } from '../../lib/rpc.ts';
import type { Site } from '../config.ts';
import type { ControlFunctions } from '../protocol.ts';
import { HUB_PROTOCOL } from './branches.ts';
import { routesOf, watchRoutes } from '../../lib/kernelroutes.ts';
import { gatewayBird, startSiteTunnel } from './site.ts';

/** A session of BGP through a tunnel, when the agents start. */
const SITE_MS = 60_000;
/** From one announcement that the hub is told of to the next. */
const HOLD_MS = 500;

export interface JoinedSite {
  /** Who is told of announcements from now on. */
  tell(control: ControlFunctions): void;
  ready(): Promise<void>;
  stop(): Promise<void>;
}

export async function joinSite(workDir: string, secret: string, address: string, site: Site): Promise<JoinedSite> {
  const tunnel = await startSiteTunnel(workDir, secret, site, 'gateway');
  const bird = await startBird(workDir, gatewayBird(site, address, HUB_PROTOCOL));
  const turns = new SerialQueue();
  let control: ControlFunctions | null = null;
  let told: readonly string[] | null = null;
  const look = async (): Promise<void> => {
    const found = await routesOf('bird');
    if (control === null || isDeepStrictEqual(found, told)) return;
    told = found;
    await control.learned(found);
    // A router that changes its mind all the time does not keep the hub busy.
    await sleep(HOLD_MS);
  };
  const changed = (): void =>
    void turns.run(look).catch((error: unknown) => {
      told = null;
      log('warn', 'announcements', { why: (error as Error).message });
    });
  const watch = watchRoutes(changed);
  return {
    tell: (call) => {
      [control, told] = [call, null];
      changed();
    },
    ready: async () => {
      const isThere = (): boolean => told !== null && told.length > 0;
      if (!(await until(isThere, { withinMs: SITE_MS }))) throw new Error(`the router of ${site.network} announces nothing`);
    },
    stop: async () => {
      watch.stop();
      await bird.stop();
      await tunnel?.stop();
    },
  };
}
