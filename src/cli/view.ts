/** Subscribers that show a run: a live line on a terminal, plain lines without one, JSON lines with --json. */
import { styleText } from 'node:util';
import { visible } from '../core/config/characters.ts';
import type { EventBus, Listener } from '../core/events.ts';

export type ViewKind = 'terminal' | 'plain' | 'json';

export function viewKind(json: boolean): ViewKind {
  if (json) return 'json';
  return process.stderr.isTTY ? 'terminal' : 'plain';
}

/** Human views write to stderr, so that stdout carries only results; JSON lines are the result. */
export function attachView(events: EventBus, kind: ViewKind): void {
  events.on(kind === 'json' ? (event) => process.stdout.write(`${JSON.stringify(event)}\n`) : humanView(kind === 'terminal'));
}

/** Some pseudo-terminals say 0. */
const FALLBACK_COLUMNS = 100;

const SYMBOLS = { pass: '✔', fail: '✘', inconclusive: '?' } as const;
const COLOURS = { pass: 'green', fail: 'red', inconclusive: 'yellow' } as const;

export const outcomeMark = (outcome: keyof typeof SYMBOLS): string => styleText(COLOURS[outcome], SYMBOLS[outcome]);

function humanView(live: boolean): Listener {
  let liveLine = false;
  let startedMs = performance.now();
  let expectedTotal = 0;
  const print = (line: string) => {
    if (liveLine) process.stderr.write('\r\x1b[2K');
    liveLine = false;
    process.stderr.write(`${visible(line)}\n`);
  };
  /** Overwrites the live line, cut to the terminal: a wrapped line could not be overwritten. */
  const show = (line: string) => {
    process.stderr.write(`\r\x1b[2K${visible(line).slice(0, (process.stderr.columns || FALLBACK_COLUMNS) - 1)}`);
    liveLine = true;
  };
  const seconds = (value: number) => `${value.toFixed(1)} s`;
  return (event) => {
    switch (event.type) {
      case 'run-started':
        startedMs = performance.now();
        expectedTotal = event.expectedSeconds;
        print(
          `${styleText('bold', event.lab)}: ${event.cells} ${event.cells === 1 ? 'cell' : 'cells'}, about ${expectedTotal} s; evidence in ${event.results}`,
        );
        break;
      case 'run-extended':
        expectedTotal = event.expectedSeconds;
        print(
          `  ${styleText('dim', 'note')} undecided after ${event.after} ${event.after === 1 ? 'repeat' : 'repeats'}, repeated until ${event.until}: ${event.cells.map((cell) => cell || 'run').join(', ')}`,
        );
        break;
      case 'cell-started': {
        const elapsed = Math.round((performance.now() - startedMs) / 1000);
        print(
          styleText('bold', `[${event.index}/${event.of}] ${event.cell || 'run'}${event.repeat > 1 ? ` (repeat ${event.repeat})` : ''}`) +
            styleText('dim', `  ${elapsed} s of about ${expectedTotal} s`),
        );
        break;
      }
      case 'stage-started':
        if (live) {
          show(`  … ${event.stage}${event.detail ? ` (${event.detail})` : ''}`);
        }
        break;
      case 'progress':
        if (live) {
          const time = event.expectedSeconds > 0 ? ` ${event.elapsedSeconds.toFixed(1)}/${event.expectedSeconds.toFixed(1)} s` : '';
          show(`  … ${event.stage}${time}  ${event.detail}`);
        }
        break;
      case 'stage-ended':
        print(
          `  ${styleText('green', '✓')} ${event.stage}${event.detail ? `: ${event.detail}` : ''} ${styleText('dim', seconds(event.seconds))}`,
        );
        break;
      case 'stage-failed':
        print(`  ${styleText('red', '✗')} ${event.stage}: ${event.code} ${styleText('dim', seconds(event.seconds))}`);
        break;
      case 'error':
        break; // it is said where the command ends
      case 'verdict':
        break; // the table at the end says it once
      case 'note':
        print(
          `  ${event.level === 'info' ? styleText('dim', 'note') : styleText(event.level === 'warn' ? 'yellow' : 'red', event.level)} ${event.text}`,
        );
        break;
      case 'run-ended':
        break;
    }
  };
}
