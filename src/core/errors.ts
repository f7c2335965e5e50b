/**
 * The one error type and the one table of codes. Exit statuses let a CI job tell
 * "the gateway missed its target" from "the lab broke" without reading any text.
 * docs/errors.md is generated from this table (`npm run docs`).
 */

export const EXIT = { met: 0, missed: 1, badFile: 2, inconclusive: 3, broken: 4, interrupted: 130 } as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

interface CodeInfo {
  readonly exit: ExitStatus;
  readonly meaning: string;
  readonly remedy: string;
}

export const CODES = {
  USAGE: { exit: EXIT.badFile, meaning: 'The command line cannot be understood.', remedy: 'See `netrig help COMMAND`.' },
  TOPOLOGY_UNREADABLE: {
    exit: EXIT.badFile,
    meaning: 'The topology file cannot be opened.',
    remedy: 'Check the path and its permissions.',
  },
  TOPOLOGY_SYNTAX: {
    exit: EXIT.badFile,
    meaning: 'The topology file is not valid YAML.',
    remedy: 'Mend the place that the message names.',
  },
  TOPOLOGY_INVALID: {
    exit: EXIT.badFile,
    meaning:
      'The topology file is YAML but not a topology: an unknown key, a wrong type, a dangling reference, a configuration that a system refuses (admission control, R4-12).',
    remedy: 'Each problem is listed with file:line:column, what was expected and a hint.',
  },
  RESULTS_UNREADABLE: {
    exit: EXIT.badFile,
    meaning: 'A results folder is missing or incomplete.',
    remedy: 'Point `netrig report` at a folder that `netrig run` wrote.',
  },
  RESULTS_UNWRITABLE: {
    exit: EXIT.broken,
    meaning: 'The results folder cannot be written: the disk is full, or the folder is not writable. The run was stopped and torn down.',
    remedy: 'Free the disk, or name another folder with `--results`.',
  },
  RIG_UNREADABLE: { exit: EXIT.badFile, meaning: 'The rig file cannot be opened.', remedy: 'Check the path and its permissions.' },
  RIG_SYNTAX: { exit: EXIT.badFile, meaning: 'The rig file is not valid YAML.', remedy: 'Mend the place that the message names.' },
  RIG_INVALID: {
    exit: EXIT.badFile,
    meaning: 'The rig file is not one: an unknown key, a host that nothing reaches, a cable with one end.',
    remedy: 'Each problem is listed with file:line:column, what was expected and a hint.',
  },
  PLACEMENT_IMPOSSIBLE: {
    exit: EXIT.badFile,
    meaning: 'A node of the topology fits no host of the rig, or a link between two hosts has nothing to run over.',
    remedy: '`netrig rig check` shows labels and capabilities of every host; compare them with `place` and `needs` of the node.',
  },
  HOST_UNREACHABLE: {
    exit: EXIT.broken,
    meaning: 'A machine of the rig cannot be reached, or refuses the login.',
    remedy: 'The message quotes the reason. `netrig rig check` tries every host; `netrig rig up` boots virtual machines.',
  },
  HOST_KEY_UNKNOWN: {
    exit: EXIT.broken,
    meaning: 'The key that a machine shows is not the one in the rig file, nor in known_hosts. Nothing was sent to it.',
    remedy: "The message has the command that accepts the key, once you have compared its fingerprint with the machine's own.",
  },
  HOST_LOST: {
    exit: EXIT.broken,
    meaning: 'The connection to a machine broke. What it was doing is not known; a run is voided.',
    remedy: 'netrig connects again by itself. `netrig destroy` cleans up what is left.',
  },
  LEASE_HELD: {
    exit: EXIT.broken,
    meaning: 'Somebody else uses the rig.',
    remedy: '`--wait 30m` waits in line; `netrig rig status` shows who holds it; `netrig rig release` takes it away.',
  },
  LEASE_LOST: {
    exit: EXIT.broken,
    meaning: 'The rig was taken by somebody else, after this run did not renew its lease in time. Its hosts refuse every further change.',
    remedy: 'Run again. If it happens often, the machine that runs netrig sleeps or loses its network.',
  },
  CLOCK_OUT_OF_BOUNDS: {
    exit: EXIT.broken,
    meaning: 'The clocks of the rig differ by more than `clocks.max-offset`, or cannot be shown not to; the run was refused.',
    remedy: 'The message has the measured offsets and bounds. Let clocks settle, use hardware time stamps, or allow more.',
  },
  LAB_EXISTS: {
    exit: EXIT.broken,
    meaning: 'A lab of this name stands on this machine, or a running netrig uses it.',
    remedy:
      '`netrig inspect` shows it; `netrig destroy NAME` removes it, `--replace` removes it first, `--name` deploys under another name.',
  },
  LAB_UNKNOWN: {
    exit: EXIT.badFile,
    meaning: 'No lab of this name is deployed on this machine.',
    remedy: '`netrig inspect` lists the labs.',
  },
  CAPABILITY_MISSING: {
    exit: EXIT.broken,
    meaning: 'This machine lacks a program, a privilege or a kernel feature that the topology needs.',
    remedy: '`netrig doctor` lists what is missing and how to install it.',
  },
  STEP_FAILED: {
    exit: EXIT.broken,
    meaning: 'A deployment step failed; what had been built was removed.',
    remedy: 'The message quotes the command and its output. `netrig run --dry-run` prints all steps.',
  },
  LINK_OUT_OF_TOLERANCE: {
    exit: EXIT.broken,
    meaning: 'linktest measured a link that is not what the topology declares; the run was refused.',
    remedy: 'The message lists declared and measured figures. Lower the rates or free the machine.',
  },
  AGENT_FAILED: {
    exit: EXIT.broken,
    meaning: 'An agent did not start or did not answer. (One that dies later voids its repeat, which is inconclusive.)',
    remedy: 'Its log is in the evidence folder under agents/.',
  },
  TRAFFIC_FAILED: {
    exit: EXIT.broken,
    meaning: 'A traffic tool could not be started.',
    remedy: 'Its output is in the evidence folder under traffic/.',
  },
  CAPTURE_FAILED: {
    exit: EXIT.broken,
    meaning: 'A capture could not be started.',
    remedy: 'Check that tcpdump is installed and that the BPF filter is valid.',
  },
  CAPTURE_MALFORMED: {
    exit: EXIT.broken,
    meaning: 'A file is not a pcap or pcapng capture.',
    remedy: 'Check that the file was not damaged or replaced.',
  },
  HOST_COMMAND_FAILED: {
    exit: EXIT.broken,
    meaning: 'A command on a host exited with an error.',
    remedy: 'The message quotes the command and its output.',
  },
  TIMEOUT: {
    exit: EXIT.broken,
    meaning: 'Something that must answer in bounded time did not.',
    remedy: 'The message says what was awaited; the machine may be overloaded.',
  },
  INTERRUPTED: {
    exit: EXIT.interrupted,
    meaning: 'Ctrl-C or SIGTERM: the run was stopped and torn down.',
    remedy: 'Evidence gathered so far is kept. A second Ctrl-C kills at once; then `netrig destroy NAME`.',
  },
  INTERNAL: { exit: EXIT.broken, meaning: 'A defect in netrig.', remedy: 'Please report it with the stack trace (`NETRIG_DEBUG=1`).' },
} as const satisfies Record<string, CodeInfo>;

export type ErrorCode = keyof typeof CODES;

export class NetrigError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NetrigError';
    this.code = code;
    this.hint = options.hint;
  }

  get exit(): ExitStatus {
    return CODES[this.code].exit;
  }
}

/** One error for all that failed of several attempts: the first one's code and hint, everybody's message. undefined: none failed. */
export function joinFailures(attempts: readonly PromiseSettledResult<unknown>[], hint?: string): NetrigError | undefined {
  const failures = attempts.flatMap((a) => (a.status === 'rejected' ? [asNetrigError(a.reason)] : []));
  const [first] = failures;
  return first && new NetrigError(first.code, failures.map((f) => f.message).join('\n'), { cause: first, hint: hint ?? first.hint });
}

/** Wraps whatever was thrown, so that every caller can rely on `code` and `exit`. */
export function asNetrigError(thrown: unknown): NetrigError {
  if (thrown instanceof NetrigError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new NetrigError('INTERNAL', message, { cause: thrown });
}
