import type { Command } from 'commander';
import { NetrigError } from '../../core/errors.ts';
import { listLabs, readRecord } from '../../rig/labs/journal.ts';

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a completion script: source <(netrig completion bash)')
    .argument('<shell>', 'bash or zsh')
    .action((shell: string) => {
      if (shell !== 'bash' && shell !== 'zsh') throw new NetrigError('USAGE', `no completion for "${shell}"`, { hint: 'bash or zsh' });
      process.stdout.write(script(program, shell));
    });

  program
    .command('schema')
    .description('print the JSON Schema of topology files, for editors')
    .option('--rig', 'of rig files')
    .action(async (options: { rig?: true }) => {
      const [{ editorSchema }, { rigSchema }] = await Promise.all([import('../../systems/registry.ts'), import('../../rig/schema.ts')]);
      process.stdout.write(
        `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...(options.rig ? rigSchema : await editorSchema()) }, null, 2)}\n`,
      );
    });

  program
    .command('names', { hidden: true })
    .argument('<what>')
    .action((what: string) => {
      const labs = listLabs();
      const names = what === 'labs' ? labs : labs.flatMap((lab) => readRecord(lab)?.fabric.nodes.map((n) => n.name) ?? []);
      process.stdout.write(`${names.join('\n')}\n`);
    });
}

/** Generated from the commands themselves, so that it cannot fall behind. */
function script(program: Command, shell: 'bash' | 'zsh'): string {
  const commands = program.commands.filter((c) => !(c as unknown as { _hidden: boolean })._hidden);
  const words = (c: Command): string =>
    [...c.commands.map((sub) => sub.name()), ...c.options.flatMap((o) => [o.long, o.short])].filter(Boolean).join(' ');
  const argument = (c: Command): string => {
    const name = c.registeredArguments[0]?.name() ?? '';
    if (name === 'topology' || c.commands.length > 0) return 'COMPREPLY+=($(compgen -f -X "!*.y*ml" -- "$word") $(compgen -d -- "$word"))';
    if (name === 'results') return 'COMPREPLY+=($(compgen -d -- "$word"))';
    if (name === 'lab') return 'COMPREPLY+=($(compgen -W "$(${COMP_WORDS[0]} names labs 2>/dev/null)" -- "$word"))';
    if (name.startsWith('node')) return 'COMPREPLY+=($(compgen -W "$(${COMP_WORDS[0]} names nodes 2>/dev/null)" -- "$word"))';
    return name === 'shell' ? 'COMPREPLY+=($(compgen -W "bash zsh" -- "$word"))' : ':';
  };
  const cases = commands.map((c) => `    ${c.name()}) COMPREPLY=($(compgen -W "${words(c)}" -- "$word")); ${argument(c)} ;;`).join('\n');
  const body = `_netrig() {
  local word="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  if [ "\${COMP_WORDS[COMP_CWORD-1]}" = --on ]; then
    COMPREPLY=($(compgen -f -X "!*.y*ml" -- "$word") $(compgen -d -- "$word"))
    return
  fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map((c) => c.name()).join(' ')}" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
}
complete -o filenames -F _netrig netrig
`;
  return shell === 'zsh' ? `autoload -U +X bashcompinit && bashcompinit\n${body}` : body;
}
