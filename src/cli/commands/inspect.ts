import type { Command } from 'commander';
import { listLabs, readRecord, stateOf, type LabRecord } from '../../rig/labs/journal.ts';
import { assignmentOf } from '../../rig/labs/assignment.ts';
import { chooseLab, chooseNode, hiddenLabs } from '../labs.ts';
import { renderTable } from '../table.ts';

const enter = async (...args: Parameters<typeof import('../enter.ts').enter>): Promise<void> =>
  (await import('../enter.ts')).enter(...args);

export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description('list the labs of this machine, or show one')
    .argument('[lab]', 'name of the lab')
    .option('--json', 'as JSON')
    .action(async (name: string | undefined, options: { json?: true }) => {
      if (name === undefined) listAll(options.json ?? false);
      else await showOne(name, options.json ?? false);
    });

  program
    .command('exec')
    .description('run a command in a node')
    .argument('<node>', 'node name')
    .argument('<command...>', 'command, after --')
    .option('-l, --lab <lab>', 'lab (default: the only one that you have left standing)')
    .action(async (node: string, command: string[], options: { lab?: string }) => {
      const record = chooseLab(options.lab);
      await enter(record, chooseNode(record, node), command);
    });

  program
    .command('shell')
    .description('open a shell in a node')
    .argument('<node>', 'node name')
    .option('-l, --lab <lab>', 'lab (default: the only one that you have left standing)')
    .action(async (node: string, options: { lab?: string }) => {
      const record = chooseLab(options.lab);
      // Whatever shell the user has here may not be there.
      await enter(record, chooseNode(record, node), record.rig === null ? [process.env['SHELL'] ?? '/bin/sh'] : ['/bin/sh']);
    });
}

function listAll(json: boolean): void {
  const labs = listLabs().map((lab) => {
    const record = readRecord(lab);
    return {
      lab,
      topology: record?.topology ?? 'unknown',
      createdAt: record?.createdAt ?? 'unknown',
      nodes: record?.fabric.nodes.length ?? 0,
      state: describeState(record),
    };
  });
  const hidden = hiddenLabs();
  if (hidden !== null) process.stderr.write(`${hidden}\n`);
  if (json) process.stdout.write(`${JSON.stringify(labs, null, 2)}\n`);
  else
    process.stdout.write(
      labs.length === 0
        ? 'no labs on this machine\n'
        : `${renderTable(
            ['lab', 'nodes', 'state', 'topology', 'created'],
            labs.map((l) => [l.lab, String(l.nodes), l.state, l.topology, l.createdAt]),
          )}\n`,
    );
}

function describeState(record: LabRecord | undefined): string {
  if (!record) return 'its record is damaged';
  const state = stateOf(record);
  return state === 'in use' ? `in use by process ${record.owner.pid}` : state;
}

async function showOne(name: string, json: boolean): Promise<void> {
  const [{ taggedProcesses }, { namespaceOf }, { describeImpairment }] = await Promise.all([
    import('../../rig/labs/teardown.ts'),
    import('../../rig/labs/names.ts'),
    import('../../topology/fabric.ts'),
  ]);
  const record = chooseLab(name);
  const processes = taggedProcesses(record.lab).length;
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...record, processes }, null, 2)}\n`);
    return;
  }
  process.stdout.write(`lab ${record.lab} from ${record.topology}, deployed ${record.createdAt}, ${processes} processes\n\n`);
  process.stdout.write(
    `${renderTable(
      ['node', 'kind', 'machine', 'namespace', 'interface', 'addresses', 'mac'],
      record.fabric.nodes.flatMap((n) =>
        n.interfaces.map((i) => [
          n.name,
          n.kind,
          `${assignmentOf(record.assignments, n.name).machine}${assignmentOf(record.assignments, n.name).container ? ' (container)' : ''}`,
          namespaceOf(record.lab, n.name),
          i.name,
          i.addresses.join(' ') || (i.port ? 'port' : '–'),
          i.mac,
        ]),
      ),
    )}\n\n`,
  );
  process.stdout.write(
    `${renderTable(
      ['link', 'forward', 'back'],
      record.fabric.links.map((l) => [
        l.id.replace('--', ' – '),
        describeImpairment(l.impairments[0]),
        describeImpairment(l.impairments[1]),
      ]),
    )}\n`,
  );
}
