/** Quantities as people write them (`100Mbit`, `5ms`, `0.1%`, `64KB`) to plain numbers and back. */

const RATE_UNITS: Readonly<Record<string, number>> = {
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  tbit: 1e12,
  bps: 1,
  kbps: 1e3,
  mbps: 1e6,
  gbps: 1e9,
  tbps: 1e12,
  k: 1e3,
  m: 1e6,
  g: 1e9,
};
const TIME_UNITS_US: Readonly<Record<string, number>> = { ns: 1e-3, us: 1, µs: 1, ms: 1e3, s: 1e6, m: 60e6, min: 60e6, h: 3600e6 };
const SIZE_UNITS: Readonly<Record<string, number>> = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1024, mib: 1048576, gib: 1073741824 };

export const RATE_PATTERN = '^[0-9]+(\\.[0-9]+)? ?([kKmMgGtT]?(bit|bps)|[kKmMgG])$';
export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)? ?(ns|us|µs|ms|s|m|min|h)$';
export const PERCENT_PATTERN = '^[0-9]+(\\.[0-9]+)? ?%$';
export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)? ?(B|[kKMG]i?B)$';
export const QUEUE_PATTERN = '^[0-9]+(\\.[0-9]+)? ?(packets|B|[kKMG]i?B|us|ms|s)$';

/** Splits `12.5ms` into [12.5, "ms"]; throws RangeError, since patterns are checked by the schema first. */
export function splitQuantity(text: string): [value: number, unit: string] {
  const match = /^([0-9]+(?:\.[0-9]+)?) ?([A-Za-zµ%]+)$/.exec(text.trim());
  if (!match) throw new RangeError(`not a quantity: ${text}`);
  return [Number(match[1]), match[2] as string];
}

function scaled(text: string, units: Readonly<Record<string, number>>): number {
  const [value, unit] = splitQuantity(text);
  const factor = units[unit.toLowerCase()];
  if (factor === undefined) throw new RangeError(`unknown unit "${unit}" in "${text}"`);
  return Number((value * factor).toPrecision(15)); // 8.165 × 1e6 is 8165000, not 8164999.999999999
}

export const parseRateBps = (text: string): number => scaled(text, RATE_UNITS);
export const parseDurationUs = (text: string): number => scaled(text, TIME_UNITS_US);
export const parseSizeBytes = (text: string): number => scaled(text, SIZE_UNITS);
/** `70%` to 0.7. */
export const parseFraction = (text: string): number => splitQuantity(text)[0] / 100;

/** "70%" of the capacity or "70Mbit" as bit/s. */
export const parseRateOf = (text: string, capacityBps: number): number =>
  text.trim().endsWith('%') ? parseFraction(text) * capacityBps : parseRateBps(text);

function trim(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

export function formatRate(bps: number): string {
  for (const [unit, factor] of [
    ['Gbit', 1e9],
    ['Mbit', 1e6],
    ['kbit', 1e3],
  ] as const) {
    if (Math.abs(bps) >= factor) return `${trim(bps / factor, 4)}${unit}`;
  }
  return `${trim(bps, 4)}bit`;
}

export function formatDurationUs(us: number): string {
  if (Math.abs(us) >= 1e6) return `${trim(us / 1e6, 4)}s`;
  if (Math.abs(us) >= 1e3) return `${trim(us / 1e3, 4)}ms`;
  return `${trim(us, 3)}us`;
}

export const formatPercent = (fraction: number, digits = 1): string => `${(fraction * 100).toFixed(digits)}%`;
