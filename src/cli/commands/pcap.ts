import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describeMeanRate, type CaptureSummary } from '../../capture/analysis/conversations.ts';
import type { Comparison } from '../../capture/analysis/compare.ts';
import { NetrigError } from '../../core/errors.ts';
import { DURATION_PATTERN, formatDurationUs, formatRate, parseDurationUs } from '../../core/units.ts';
import { renderTable } from '../table.ts';

interface PcapOptions {
  readonly filter?: string;
  readonly every: string;
  readonly beside?: string;
  readonly top: string;
  readonly json?: true;
  readonly html?: string;
}

export function addPcap(program: Command): void {
  program
    .command('pcap')
    .description('what a capture holds: conversations, rates over time; beside another capture: latency, loss, order')
    .argument('<file>', 'pcap or pcapng file')
    .option('--filter <bpf>', 'only these packets, as tcpdump writes it (stamps to microseconds then)')
    .option('--every <duration>', 'width of the intervals that rates are given for', '1s')
    .option('--beside <file>', 'a capture of the same packets at another place, on the same clock')
    .option('--top <n>', 'conversations that are shown', '20')
    .option('--json', 'as JSON, all conversations')
    .option('--html <file>', 'write a page with charts')
    .action(async (file: string, options: PcapOptions) => {
      if (!new RegExp(DURATION_PATTERN).test(options.every) || parseDurationUs(options.every) <= 0)
        throw new NetrigError('USAGE', `--every: expected a duration such as "100ms", found "${options.every}"`);
      const top = Number(options.top);
      if (!Number.isInteger(top) || top < 1)
        throw new NetrigError('USAGE', `--top: expected a whole number of at least 1, found "${options.top}"`);
      const dir = mkdtempSync(join(tmpdir(), 'netrig-pcap-'));
      try {
        const own = await selected(file, options.filter, join(dir, 'file'));
        const summary = await summarize(own, options);
        const comparison =
          options.beside === undefined
            ? null
            : (await import('../../capture/analysis/compare.ts')).compareCaptures(
                own,
                await selected(options.beside, options.filter, join(dir, 'beside')),
              );
        if (options.html !== undefined)
          writeFileSync(options.html, (await import('../../report/capture.ts')).renderCapturePage(file, summary, comparison));
        if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, beside: comparison }, null, 2)}\n`);
        else process.stdout.write(`${asText(summary, comparison, top)}\n`);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
}

const summarize = async (file: string, { every }: PcapOptions): Promise<CaptureSummary> =>
  (await import('../../capture/analysis/conversations.ts')).summarizeCapture(file, parseDurationUs(every) / 1e6);

/** The file itself, or what a filter leaves of it. */
async function selected(file: string, filter: string | undefined, into: string): Promise<string> {
  if (filter === undefined) return file;
  await (await import('../../capture/libpcap/index.ts')).filterCapture(file, filter, into);
  return into;
}

function asText(
  { packets, bytes, seconds, truncated, conversations, intervalS, intervalBytes }: CaptureSummary,
  comparison: Comparison | null,
  top: number,
): string {
  const total = `${packets} packets, ${bytes} bytes in ${seconds.toFixed(3)} s${truncated ? '; the file ends within a packet' : ''}`;
  const shown = conversations.slice(0, top);
  const talks = renderTable(
    ['from', 'to', 'protocol', 'packets', 'bytes', 'mean rate'],
    shown.map((c) => [c.from, c.to, c.protocol, String(c.packets), String(c.bytes), describeMeanRate(c)]),
  );
  const more = conversations.length > top ? `\n${conversations.length - top} more conversations: --top, or --json for all` : '';
  const rates = renderTable(
    ['from [s]', 'rate'],
    intervalBytes.slice(0, top).map((n, i) => [(i * intervalS).toFixed(3), formatRate((n * 8) / intervalS)]),
  );
  const moreRates = intervalBytes.length > top ? `\n${intervalBytes.length - top} more intervals: --every gives wider ones` : '';
  return [total, `${talks}${more}`, `${rates}${moreRates}`, ...(comparison ? [besideText(comparison)] : [])].join('\n\n');
}

function besideText({ sent, lost, duplicated, reordered, latencyS }: Comparison): string {
  const us = (value: number): string => formatDurationUs(value * 1e6);
  const latency =
    latencyS === null
      ? 'none arrived'
      : `latency p50 ${us(latencyS.p50)}, p99 ${us(latencyS.p99)} (${us(latencyS.min)} to ${us(latencyS.max)})`;
  return `beside: ${sent} packets told apart, ${lost} lost, ${duplicated} duplicated, ${reordered} reordered; ${latency}`;
}
