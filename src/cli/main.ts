#!/usr/bin/env -S node --
// The `stasis` command. (The dashes above keep Node 20 from taking an --env-file that belongs to `stasis run` as its own.)
//
// Only the module of the command that was named is loaded, since start-up is most of what a command takes; the others appear in the help
// with their summary.
//
// Exit status: 0 done, 1 to 9 as in the table of errors.ts, 128 plus n after signal n; `run`, `restore` and `wait` pass on the program's own.

import { Command, CommanderError } from 'commander';
import { Interrupted } from './interrupt.js';
import { createOutput, type Output, reportError } from './output.js';
import { UsageError } from './values.js';

export interface CommandModule {
  /** Adds arguments, options and the action. The action's promise gives the exit status, 0 if nothing. */
  define(command: Command, run: ActionRunner): void;
}

/** Wraps what a command does: it gets its output, and its exit status becomes the process's. */
export type ActionRunner = (action: (output: Output) => Promise<number | undefined>) => Promise<void>;

interface CommandEntry {
  readonly name: string;
  readonly subjects: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

const entry = (name: string, subjects: string, summary: string, load: () => Promise<CommandModule>): CommandEntry => ({
  name,
  subjects,
  summary,
  load,
});

const commands: readonly CommandEntry[] = [
  entry('run', '[--] PROGRAM [ARGUMENT...]', 'start a program as an application', () => import('./commands/run.js')),
  entry('ps', '', 'list applications', () => import('./commands/ps.js')),
  entry('logs', 'APPLICATION', 'print the output of a detached application', () => import('./commands/logs.js')),
  entry('kill', 'APPLICATION...', 'send a signal to applications', () => import('./commands/kill.js')),
  entry('wait', 'APPLICATION', 'wait until an application has ended', () => import('./commands/wait.js')),
  entry('rm', 'APPLICATION|NAME@N...', 'forget ended applications, delete snapshots', () => import('./commands/rm.js')),
  entry(
    'checkpoint',
    'APPLICATION',
    'save a running application, and stop it',
    () => import('./commands/checkpoint.js'),
  ),
  entry('restore', 'SNAPSHOT', 'start an application from a snapshot', () => import('./commands/restore.js')),
  entry('inspect', 'SNAPSHOT', 'show what a snapshot holds', () => import('./commands/inspect.js')),
  entry('check', '', 'show what this host offers', () => import('./commands/check.js')),
];

export async function main(argv: readonly string[]): Promise<number> {
  let json = wantsJson(argv);
  let exitCode = 0;
  const runnerOf =
    (command: Command): ActionRunner =>
    async (action) => {
      json = command.opts<{ json?: boolean }>().json ?? false;
      exitCode = (await action(createOutput(json))) ?? 0;
    };
  try {
    const program = await buildProgram(argv, runnerOf);
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return endOf(error, json);
  }
}

async function buildProgram(argv: readonly string[], runnerOf: (command: Command) => ActionRunner): Promise<Command> {
  const program = new Command('stasis')
    .description('Freezes running programs and wakes them again.')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .option('-V, --version', 'show the version')
    .enablePositionalOptions()
    .exitOverride()
    // Commander would print before it throws; endOf does the printing.
    .configureOutput({ writeErr: () => undefined });
  const operands = argv.filter((word) => !word.startsWith('-'));
  const wanted = operands[0] === 'help' ? operands[1] : operands[0];
  for (const { name, subjects, summary, load } of commands) {
    const command = program.command(name).description(summary).usage(`[options] ${subjects}`.trimEnd());
    command.helpOption('-h, --help', 'show this help').option('--json', 'print JSON');
    if (name === wanted) (await load()).define(command, runnerOf(command));
  }
  program
    .configureHelp({
      subcommandTerm(command) {
        const subjects = commands.find(({ name }) => name === command.name())?.subjects ?? '[COMMAND]';
        return `${command.name()} ${subjects}`.trimEnd();
      },
    })
    .argument('[word...]')
    .usage('COMMAND [options]')
    .action(async (words: string[], options: { version?: boolean }) => {
      if (options.version) process.stdout.write(`${await packageVersion()}\n`);
      else if (words[0] !== undefined)
        throw new UsageError(`there is no command ${JSON.stringify(words[0])}; \`stasis --help\` lists them`);
      else throw new UsageError('no command given; `stasis --help` lists them');
    });
  return program;
}

async function packageVersion(): Promise<string> {
  const { readFileSync } = await import('node:fs');
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return String((manifest as { version?: unknown }).version);
}

/** Looked for by hand, because errors of the parser have to be printed in the right form too; once it is done, its word counts. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).includes('--json');
}

function endOf(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    return reportError(new UsageError(error.message.replace(/^error: /, '')), json);
  }
  if (error instanceof Interrupted) {
    reportError(error.cause, json);
    return error.exitCode;
  }
  return reportError(error, json);
}

process.exitCode = await main(process.argv.slice(2));
