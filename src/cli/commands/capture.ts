import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { NetrigError } from '../../core/errors.ts';
import { chooseLab, chooseNode } from '../labs.ts';

interface CaptureOptions {
  readonly lab?: string;
  readonly write?: string;
  readonly count?: string;
}

export function addCapture(program: Command): void {
  program
    .command('capture')
    .description('capture live at an interface of a node: decoded to the terminal with rates, or to a file or pipe with -w')
    .argument('<node:interface>', 'where')
    .argument('[filter...]', 'BPF filter, after --')
    .option('-l, --lab <lab>', 'lab (default: the only one that you have left standing)')
    .option('-w, --write <file>', 'write pcap with nanosecond stamps; "-" is stdout, e.g. for wireshark -k -i -')
    .option('-c, --count <packets>', 'stop after this many packets')
    .action(async (at: string, filter: string[], options: CaptureOptions) => {
      const [node, itf] = at.split(':', 2) as [string, string | undefined];
      if (itf === undefined)
        throw new NetrigError('USAGE', `expected NODE:INTERFACE, found "${at}"`, { hint: 'e.g. netrig capture a:eth1' });
      const record = chooseLab(options.lab);
      const interfaces = record.fabric.nodes.find((n) => n.name === chooseNode(record, node))?.interfaces.map((i) => i.name) ?? [];
      if (!interfaces.includes(itf))
        throw new NetrigError('USAGE', `node "${node}" has no interface "${itf}"`, { hint: `interfaces: ${interfaces.join(', ')}` });
      await refuseFilter(filter.join(' '));
      if (options.write === undefined) {
        process.exitCode = await show(record.lab, at, options.count, filter);
        return;
      }
      const { enter } = await import('../enter.ts');
      await enter(
        record,
        node,
        [
          'tcpdump',
          '-i',
          itf,
          '-n',
          '-Z',
          'root',
          '-w',
          options.write,
          '-U',
          '--time-stamp-precision=nano',
          ...(options.count ? ['-c', options.count] : []),
          ...filter,
        ],
        { network: true },
      );
    });
}

/** Here, where it costs nothing: the node may be on another machine. */
async function refuseFilter(filter: string): Promise<void> {
  if (filter === '') return;
  const { checkFilters } = await import('../../capture/libpcap/index.ts');
  const [wrong] = await checkFilters([filter]);
  if (wrong) throw new NetrigError('USAGE', `"${filter}": ${wrong}`, { hint: 'as tcpdump writes it: pcap-filter(7)' });
}

/** The same capture as a stream, decoded by a process of its own: the node may be anywhere. Its exit status. */
async function show(lab: string, at: string, count: string | undefined, filter: readonly string[]): Promise<number> {
  const { libpcapCommand } = await import('../../capture/libpcap/index.ts');
  const [program, ...args] = libpcapCommand('show');
  const decoder = spawn(program, args, { stdio: ['pipe', 'inherit', 'inherit'] });
  const self = [
    ...process.execArgv,
    process.argv[1] as string,
    'capture',
    at,
    '-l',
    lab,
    '-w',
    '-',
    ...(count === undefined ? [] : ['-c', count]),
    '--',
    ...filter,
  ];
  const source = spawn(process.execPath, self, { stdio: ['inherit', 'pipe', 'inherit'] });
  source.stdout.pipe(decoder.stdin);
  decoder.stdin.on('error', () => undefined);
  // Ctrl-C goes to all of them: the source ends first, and what it has sent is still shown.
  process.on('SIGINT', () => undefined);
  const ended = (child: typeof decoder | typeof source): Promise<number> =>
    new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
  const [code] = await Promise.all([ended(source), ended(decoder)]);
  return code;
}
