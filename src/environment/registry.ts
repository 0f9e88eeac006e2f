// Environments: networks of their own, each with a name. Applications in one reach each other; those in different ones may have the same
// addresses and ports.
//
//     environments/NAME/network    the number of its real network, 127.NUMBER.0.0/16
//     environments/NAME/H          symlink to ../../apps/ID: the application with host part H
//     environments/lock            flock while an address is given out
//
// Rules of the place: an environment comes into being with its first application. A host part is free again when its application has
// ended, and the lowest free one is taken, so that a server that is started again has the address it had. A network number belongs to one
// environment of this state directory; between users and directories numbers are kept apart by a look at the sockets that are open.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { StasisError } from '../errors.js';
import type { NativeLock } from '../native.js';
import { callNativeNow } from '../native-call.js';
import { type Home, replaceFile } from '../store/home.js';
import { readRecord } from '../store/record.js';
import { hasEnded, readStatus } from '../store/status.js';
import { waitUntil } from '../waiting.js';
import { gatewayHost, maxHost, maxNetwork, minNetwork } from './address.js';
import { hostSockets } from './ports.js';
import type { PublishedPort } from './publish.js';

/** Where an application is in an environment. */
export interface EnvironmentPlace {
  readonly name: string;
  readonly network: number;
  readonly host: number;
  readonly publish: readonly PublishedPort[];
}

const lockDeadlineMs = 10_000;

/** Gives the application an address. Its directory exists; its record need not. */
export async function joinEnvironment(
  home: Home,
  name: string,
  id: string,
  publish: readonly PublishedPort[],
): Promise<EnvironmentPlace> {
  const directory = join(home.environments, name);
  makeDirectory(home.environments);
  const lock = await takeLock(join(home.environments, 'lock'));
  try {
    makeDirectory(directory);
    const network = readNetwork(directory) ?? (await assignNetwork(home, directory));
    const host = await takeHost(home, directory, id);
    return { name, network, host, publish };
  } finally {
    lock.release();
  }
}

/** Gives the address back, for an application that never was. */
export function leaveEnvironment(home: Home, place: EnvironmentPlace, id: string): void {
  const path = join(home.environments, place.name, String(place.host));
  if (holderOf(path) === id) unlinkSync(path);
}

async function takeLock(path: string): Promise<NativeLock> {
  const attempt = (): NativeLock | undefined => {
    try {
      return callNativeNow((addon) => addon.lock(path));
    } catch (error) {
      if (error instanceof StasisError && error.code === 'ERR_STASIS_BUSY') return undefined;
      throw error;
    }
  };
  return waitUntil(attempt, { what: 'waiting for an address', timeoutMs: lockDeadlineMs, intervalMs: 5 });
}

async function takeHost(home: Home, directory: string, id: string): Promise<number> {
  for (let host = 1; host <= maxHost; host++) {
    // 0 and 255 at the end look like a network's own address and its broadcast.
    if (host === gatewayHost || (host & 255) === 0 || (host & 255) === 255) continue;
    const path = join(directory, String(host));
    const holder = holderOf(path);
    if (holder !== undefined) {
      if (await isPresent(home, holder)) continue;
      unlinkSync(path);
    }
    symlinkSync(`../../apps/${id}`, path);
    return host;
  }
  throw new StasisError('Busy', `the environment ${basename(directory)} is full`, {
    remedy: 'choose another one with --environment',
  });
}

async function assignNetwork(home: Home, directory: string): Promise<number> {
  const taken = new Set<number>();
  for (const entry of readdirSync(home.environments)) {
    const network = readNetwork(join(home.environments, entry));
    if (network !== undefined) taken.add(network);
  }
  for (const { address } of hostSockets()) {
    if (address[0] === 127) taken.add(address[1] ?? 0);
  }
  // Directories start at different numbers, so that two that do not see each other's sockets yet rarely meet.
  const count = maxNetwork - minNetwork + 1;
  const start = createHash('sha256').update(home.root).digest().readUInt32LE() % count;
  for (let step = 0; step < count; step++) {
    const network = minNetwork + ((start + step) % count);
    if (taken.has(network)) continue;
    replaceFile(join(directory, 'network'), `${network}\n`);
    return network;
  }
  const unused = await findUnused(home, directory);
  if (unused === undefined) {
    throw new StasisError('Busy', `all ${count} networks are in use`, {
      remedy: 'run it in an environment that is there',
    });
  }
  const { path, network } = unused;
  rmSync(path, { recursive: true, force: true });
  replaceFile(join(directory, 'network'), `${network}\n`);
  return network;
}

/** An environment without an application. */
async function findUnused(home: Home, except: string): Promise<{ path: string; network: number } | undefined> {
  for (const entry of readdirSync(home.environments)) {
    const path = join(home.environments, entry);
    const network = path === except ? undefined : readNetwork(path);
    if (network === undefined) continue;
    let used = false;
    for (const file of readdirSync(path)) {
      const holder = file === 'network' ? undefined : holderOf(join(path, file));
      used ||= holder !== undefined && (await isPresent(home, holder));
    }
    if (!used) return { path, network };
  }
  return undefined;
}

function readNetwork(directory: string): number | undefined {
  try {
    const network = Number(readFileSync(join(directory, 'network'), 'utf8'));
    return Number.isInteger(network) && network >= minNetwork && network <= maxNetwork ? network : undefined;
  } catch {
    return undefined;
  }
}

function holderOf(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

/** Whether the application runs or is being started. */
async function isPresent(home: Home, id: string): Promise<boolean> {
  const paths = home.application(id);
  try {
    readdirSync(paths.directory);
  } catch {
    return false;
  }
  try {
    const record = await readRecord(home, id);
    return record === undefined || !hasEnded(readStatus(paths, record));
  } catch {
    // A damaged record says nothing about its process.
    return true;
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
