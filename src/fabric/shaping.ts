/** HTB and netem parameters of one link direction. Pure. */
import type { Impairment } from '../topology/model.ts';
import { isDelayed } from '../topology/lab.ts';

const FRAME_BYTES = 1514;
/** dataplane measurements: at 500 Mbit/s and above the kernel's default burst loses 6–9 % and costs 15 000 timer interrupts a second. */
const MAX_BURST_BYTES = 64_000;

/**
 * What a rate may send at once. Links have two milliseconds, four frames at least: small enough to be honest in 10 ms
 * windows, large enough that a busy machine's late timers cost no rate (1 ms lost 5 % at 20 Mbit/s under full load).
 */
export function burstBytes(rateBps: number, milliseconds = 2): number {
  return Math.round(Math.min(MAX_BURST_BYTES, milliseconds * Math.max(2 * FRAME_BYTES, rateBps / 8 / 1000)));
}

/** tc lines that shape what leaves `device`: delay and loss first (netem), then the rate (HTB) with its queue in bytes. */
export function shapingLines(device: string, impairment: Impairment, withNetem: boolean): string[] {
  const { rateBps, queueBytes } = impairment;
  const netem = withNetem && isDelayed(impairment) ? netemArguments(impairment) : null;
  const delay = netem ? [`qdisc add dev ${device} root handle 2: netem ${netem}`] : [];
  if (rateBps === null) return delay;
  const burst = burstBytes(rateBps);
  return [
    ...delay,
    `qdisc add dev ${device} ${netem ? 'parent 2:1' : 'root'} handle 1: htb default 1`,
    `class add dev ${device} parent 1: classid 1:1 htb rate ${Math.round(rateBps)}bit ceil ${Math.round(rateBps)}bit burst ${burst}b cburst ${burst}b quantum ${FRAME_BYTES}`,
    `qdisc add dev ${device} parent 1:1 handle 10: bfifo limit ${queueBytes ?? 100 * FRAME_BYTES}`,
  ];
}

/** More packets than are ever on the way: what limits the link is the queue behind, in bytes. */
const IN_FLIGHT_PACKETS = 100_000;

export function netemArguments(i: Impairment): string {
  const delay = i.delayUs > 0 ? ` delay ${i.delayUs}us` : '';
  const loss = i.loss > 0 ? ` loss random ${i.loss * 100}%` : '';
  return `limit ${IN_FLIGHT_PACKETS}${delay}${loss}`;
}

/** A direction in native/delayline's form. */
export const delayConfig = (from: string, to: string, { delayUs, jitterUs, loss }: Impairment): string =>
  `${from} ${to} ${delayUs} ${jitterUs} ${Math.round(loss * 1e6)}`;

/** netem reorders where it jitters; packets of a link keep their order, so jitter is the delay line's everywhere. */
export const needsDelayLine = (i: Impairment, netem: boolean): boolean => isDelayed(i) && (!netem || i.jitterUs > 0);
