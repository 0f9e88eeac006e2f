// stasis run: in the foreground this process becomes the keeper, so that terminal, signals, pipes and exit status are what they are
// without Stasis; detached, the application's name is printed once it runs.

import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { runInForeground } from '../../application/launch.js';
import { fromSystemError } from '../../errors.js';
import { Stasis } from '../../stasis.js';
import { openDefaultHome } from '../../store/open.js';
import { parseEnvFile } from '../env-file.js';
import { interruptible } from '../interrupt.js';
import type { ActionRunner } from '../main.js';
import { parseAssignment, parseShift } from '../values.js';

interface Options {
  readonly name?: string;
  readonly detach?: boolean;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly cwd?: string;
  readonly shiftIds?: number;
  readonly fastPath: boolean;
  readonly environment?: string;
  readonly publish?: readonly string[];
}

export function define(command: Command, run: ActionRunner): void {
  const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];
  command
    .argument('<program...>')
    .option('-n, --name <name>', 'name of the application; default: one is made up')
    .option('-d, --detach', 'run in the background and print the name; output goes to logs')
    .option('-e, --env <key=value>', 'set a variable, or pass one on by KEY; repeatable', collect)
    .option('--env-file <file>', 'set variables from a file of KEY=VALUE lines; repeatable', collect)
    .option('-w, --cwd <directory>', 'working directory')
    .option('--environment <name>', 'run in an environment, with addresses and ports of its own')
    .option('--publish <host:port[:vport]>', 'make a port of the environment reachable there; repeatable', collect)
    .addOption(new Option('--shift-ids <n>', 'add n to every id the program sees').argParser(parseShift).hideHelp())
    .option('--no-fast-path', 'change no code of libraries: calls that the runtime has to see always trap')
    .passThroughOptions()
    .action((words: string[], options: Options) =>
      run(async (output) => {
        const common = {
          env: environment(options),
          fastPath: options.fastPath,
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
          ...(options.environment === undefined ? {} : { environment: options.environment }),
          ...(options.publish === undefined ? {} : { publish: options.publish }),
          ...(options.shiftIds === undefined ? {} : { shiftIds: options.shiftIds }),
        };
        if (!options.detach) return runInForeground(openDefaultHome(), words, common);
        const stasis = await Stasis.open();
        const application = await interruptible((signal) => stasis.run(words, { ...common, signal }));
        output.result(application, application.name);
      }),
    );
}

/** This process's variables, then the files', then --env's; later ones win. */
function environment(options: Options): Record<string, string | undefined> {
  const variables = new Map<string, string | undefined>(Object.entries(process.env));
  for (const file of options.envFile ?? []) {
    for (const [key, value] of parseEnvFile(readText(file), file, process.env)) variables.set(key, value);
  }
  for (const text of options.env ?? []) {
    const [key, value] = parseAssignment(text, process.env);
    variables.set(key, value);
  }
  return Object.fromEntries(variables);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw fromSystemError(error, 'reading the file of variables');
  }
}
