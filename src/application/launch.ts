// Starting an application: `run` of the library, and the foreground `run` of the command line, where this process becomes the keeper.

import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  badValue,
  checkCommand,
  checkEnvironment,
  checkFastPath,
  checkOptions,
  checkShift,
  checkSignal,
  checkText,
} from '../arguments.js';
import { checkPublished, keeperArgument, type PublishedPort } from '../environment/publish.js';
import { cancelled, fromSystemError, StasisError } from '../errors.js';
import { type Addon, helperPrograms } from '../native.js';
import { callNativeNow } from '../native-call.js';
import type { Home } from '../store/home.js';
import { checkName } from '../store/names.js';
import { ensureRuntime } from '../store/runtimes.js';
import { Application } from './application.js';
import { bringUp, type Prepared, prepare } from './prepare.js';
import { checkStdio, type Stdio, type Stream } from './stdio.js';

export interface RunOptions {
  /** One is made up when none is given. */
  readonly name?: string;
  /** The whole environment, as for child_process.spawn; default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: this process's. */
  readonly cwd?: string;
  /** Default `log`. */
  readonly stdio?: Stdio;
  /** Name of an environment, a network of its own that comes into being with its first application; default: the host's addresses. */
  readonly environment?: string;
  /** Ports of the application that are reachable from outside its environment: `HOST:PORT[:VPORT][/udp]`. */
  readonly publish?: readonly string[];
  /** For developers: every process id that the program sees is the system's plus this (1 to 4000000), so that a system id shows. */
  readonly shiftIds?: number;
  /** False: calls that the runtime has to see always trap, and the code of no library is changed to spare that. Default true. */
  readonly fastPath?: boolean;
  /** Aborted while the application starts: it is killed and removed. */
  readonly signal?: AbortSignal;
}

interface CheckedRun {
  readonly command: readonly [string, ...string[]];
  readonly name: string | undefined;
  readonly env: readonly string[];
  readonly cwd: string;
  readonly streams: readonly [Stream, Stream, Stream];
  readonly shiftIds: number;
  readonly fastPath: boolean;
  readonly environment: { readonly name: string; readonly publish: readonly PublishedPort[] } | undefined;
}

export async function run(home: Home, command: readonly string[], options: RunOptions = {}): Promise<Application> {
  const checked = checkRun(command, options);
  const { prepared, launch } = await prepareRun(home, checked, 'detached');
  const what = `starting ${prepared.record.name}`;
  if (options.signal?.aborted) {
    prepared.undo();
    throw cancelled(what, options.signal);
  }
  await bringUp(prepared, (addon) => addon.launch(launch));
  prepared.commit();
  const application = new Application(home, prepared.record);
  if (options.signal?.aborted) {
    await application.remove({ force: true });
    throw cancelled(what, options.signal);
  }
  return application;
}

/** Never returns: the process is replaced by the keeper, with its streams, terminal and exit status. */
export async function runInForeground(home: Home, command: readonly string[], options: RunOptions): Promise<never> {
  const checked = checkRun(command, { ...options, stdio: 'inherit' });
  const { prepared, launch } = await prepareRun(home, checked, 'foreground');
  const { stdio: _own, ...foreground } = launch;
  return leaveToKeeper(prepared, (addon) => addon.becomeKeeper(foreground));
}

/** Executes the keeper in place of this process. Only a failure comes back; then everything is as before. */
export function leaveToKeeper(prepared: Prepared, become: (addon: Addon) => never): never {
  try {
    prepared.setAside();
    return callNativeNow(become);
  } catch (error) {
    prepared.undo();
    throw error;
  }
}

function checkRun(command: unknown, options: RunOptions): CheckedRun {
  checkOptions(options);
  checkSignal(options.signal);
  return {
    command: checkCommand(command),
    name: options.name === undefined ? undefined : checkName('options.name', options.name),
    env: checkEnvironment(options.env ?? process.env),
    cwd: resolve(options.cwd === undefined ? process.cwd() : checkText('options.cwd', options.cwd)),
    streams: checkStdio(options.stdio),
    shiftIds: checkShift(options.shiftIds),
    fastPath: checkFastPath(options.fastPath),
    environment: checkEnvironmentPlace(options),
  };
}

async function prepareRun(home: Home, run: CheckedRun, mode: 'detached' | 'foreground') {
  checkDirectory(run.cwd);
  const helpers = helperPrograms();
  const runtime = ensureRuntime(home, helpers.runtime, (file) => callNativeNow((addon) => addon.buildId(file)));
  const prepared = await prepare(home, {
    name: run.name,
    held: false,
    replace: 'failed',
    command: run.command,
    cwd: run.cwd,
    mode,
    runtime: runtime.buildId,
    streams: run.streams,
    restoredFrom: null,
    takenRemedy: 'choose another name with --name',
    ...(run.environment === undefined ? {} : { environment: run.environment }),
  });
  const place = prepared.record.environment;
  const launch = {
    keeper: helpers.keeper,
    runtime: runtime.path,
    directory: prepared.paths.directory,
    command: run.command,
    env: run.env,
    cwd: run.cwd,
    stdio: prepared.stdio.fds,
    shiftIds: run.shiftIds,
    ...(run.fastPath ? {} : { withoutFastPath: true as const }),
    ...(place === undefined
      ? {}
      : { place: `${place.network}:${place.host}`, publish: place.publish.map(keeperArgument) }),
  };
  return { prepared, launch };
}

function checkEnvironmentPlace({ environment, publish }: RunOptions): CheckedRun['environment'] {
  const ports = checkPublished('options.publish', publish);
  if (environment !== undefined) return { name: checkName('options.environment', environment), publish: ports };
  if (ports.length > 0)
    throw badValue('options.publish', "needs options.environment: without one ports are the host's");
  return undefined;
}

function checkDirectory(path: string): void {
  try {
    // With a trailing slash anything but a directory gives ENOTDIR.
    realpathSync(`${path}/`);
  } catch (error) {
    const wrapped = fromSystemError(error, 'looking for the working directory');
    throw wrapped instanceof StasisError ? wrapped : error;
  }
}
