/** Thin: parse, call one function, print, set the exit status. */
import { Command, CommanderError } from 'commander';
import { styleText } from 'node:util';
import { visible } from '../core/config/characters.ts';
import { asNetrigError, EXIT, type NetrigError } from '../core/errors.ts';
import { addCapture } from './commands/capture.ts';
import { addCompletion } from './commands/completion.ts';
import { addDeploy } from './commands/deploy.ts';
import { addDoctor } from './commands/doctor.ts';
import { addGraph } from './commands/graph.ts';
import { addImage } from './commands/image.ts';
import { addInspect } from './commands/inspect.ts';
import { addPcap } from './commands/pcap.ts';
import { addReport } from './commands/report.ts';
import { addRig } from './commands/rig.ts';
import { addRun } from './commands/run.ts';
import { addValidate } from './commands/validate.ts';

function buildProgram(): Command {
  const program = new Command('netrig')
    .description('A testbed for cloud network gateways: one topology file in, a measured verdict out.')
    .version('0.1.0')
    .showHelpAfterError('(netrig help COMMAND says more)')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
First steps:
  netrig doctor                        what this machine can do
  netrig run topologies/hello.yaml     two hosts, one switch, one verdict
  netrig run topologies/gatekeeper-cells.yaml

By hand:
  netrig deploy topologies/hello.yaml  then inspect, shell a, exec a -- ip addr, capture a:eth1
  netrig destroy hello`,
    );
  // Before subcommands are made: they inherit it.
  program.exitOverride();
  for (const add of [
    addRun,
    addValidate,
    addDeploy,
    addInspect,
    addCapture,
    addPcap,
    addGraph,
    addReport,
    addRig,
    addImage,
    addDoctor,
    addCompletion,
  ])
    add(program);
  return program;
}

/** A reader that went away (`| head`) must not kill a run before its teardown; its results are on disk. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}
/** Exit status 1 means "target missed": a defect of ours must not look like it. SIGTERM to ourselves tears down. */
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (thrown: unknown) => {
    report(asNetrigError(thrown));
    process.once('exit', () => {
      process.exitCode = EXIT.broken;
    });
    if (process.listenerCount('SIGTERM') > 0) process.kill(process.pid, 'SIGTERM');
    else process.exit(EXIT.broken);
  });
}

function report(error: NetrigError): void {
  const { code, message, hint } = error;
  if (process.argv.includes('--json'))
    process.stdout.write(
      `${JSON.stringify({ type: 'error', code, message, ...(hint === undefined ? {} : { hint }), at: new Date().toISOString() })}\n`,
    );
  process.stderr.write(
    visible(
      `${styleText('red', `error ${error.code}`)}: ${error.message}\n${error.hint ? `${styleText('dim', 'hint')}: ${error.hint}\n` : ''}`,
    ),
  );
  if (error.code === 'INTERNAL' || process.env['NETRIG_DEBUG'])
    process.stderr.write(visible(`${(error.cause as Error | undefined)?.stack ?? error.stack}\n`));
  process.exitCode = error.exit;
}

try {
  await buildProgram().parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode === 0 ? EXIT.met : EXIT.badFile;
  } else {
    report(asNetrigError(thrown));
  }
}
