// Names of applications. A name is a symbolic link names/NAME -> ../apps/ID, so taking one is a single symlink(2) that two processes
// cannot both win, and looking one up is a readlink(2).
//
// Rules of the place: an application's directory exists before its name and goes away after it; a link whose application is gone is an
// orphan, which only `rm` clears. A name changes hands (a restore in place of the stopped application) by rename over the link.

import { randomInt } from 'node:crypto';
import { lstatSync, readdirSync, readlinkSync, renameSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { badType, badValue } from '../arguments.js';
import { applicationIdPattern, type Home } from './home.js';
import { partialMark } from './partial.js';

const namePattern = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

export function isName(value: string): boolean {
  return namePattern.test(value) && !value.includes(partialMark);
}

export function checkName(argument: string, value: unknown): string {
  if (typeof value !== 'string') throw badType(argument, 'a string', value);
  if (!namePattern.test(value)) {
    throw badValue(
      argument,
      `${JSON.stringify(value)} is no name: 1 to 63 of a-z 0-9 _ . -, the first a letter or digit`,
    );
  }
  // Directories with this mark are leftovers to the clean-up.
  if (value.includes(partialMark)) throw badValue(argument, `must not contain "${partialMark}"`);
  return value;
}

/** Gives the name to an application. False when it is taken. */
export function takeName(home: Home, name: string, id: string): boolean {
  try {
    symlinkSync(`../apps/${id}`, `${home.names}/${name}`);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The id behind a name; undefined when nobody has it; null for a link that does not lead to an application. */
export function holderOfName(home: Home, name: string): string | null | undefined {
  let target: string;
  try {
    target = readlinkSync(join(home.names, name));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG' ? undefined : null;
  }
  const id = /^\.\.\/apps\/([^/]+)$/.exec(target)?.[1];
  if (id === undefined || !applicationIdPattern.test(id)) return null;
  try {
    return lstatSync(join(home.apps, id)).isDirectory() ? id : null;
  } catch {
    return null;
  }
}

/** Moves a name to another application in one step. The caller holds the lock of the one that has it. */
export function moveName(home: Home, name: string, id: string): void {
  // A dot is no first character of a name, so the link cannot be mistaken for one. One that is there is of
  // somebody who was killed here: the lock makes it ours.
  const temporary = join(home.names, `.${name}`);
  try {
    symlinkSync(`../apps/${id}`, temporary);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    unlinkSync(temporary);
    symlinkSync(`../apps/${id}`, temporary);
  }
  try {
    renameSync(temporary, join(home.names, name));
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

/** Gives up a name if `id` has it; with id null, if its link leads nowhere. */
export function releaseName(home: Home, name: string, id: string | null): boolean {
  const path = join(home.names, name);
  try {
    const own = id === null ? holderOfName(home, name) === null : readlinkSync(path) === `../apps/${id}`;
    if (!own) return false;
    unlinkSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Every name with the id that has it, null for an orphan. */
export function listNames(home: Home): Map<string, string | null> {
  const names = new Map<string, string | null>();
  for (const name of readdirSync(home.names)) {
    if (!isName(name)) continue;
    const id = holderOfName(home, name);
    if (id !== undefined) names.set(name, id);
  }
  return names;
}

const adjectives =
  'amber bold brisk calm clear cool crisp deep eager early fair fleet fresh gentle glad keen kind late light lively lucid mellow merry mild neat noble pale plain prime quick quiet rapid ready serene sharp silent sleek snug spry steady still sunny swift tidy vivid warm wise young'.split(
    ' ',
  );
const nouns =
  'alder aspen badger beech birch brook cedar cliff cloud coral crane creek dune elm falcon fern finch fjord fox glade grove harbor hare hawk heron hill ibis iris juniper kestrel lake larch lark linden lynx maple marten meadow moss oak otter owl pine plover pond raven reef ridge robin sparrow stone stork swan tern thrush vale willow wren'.split(
    ' ',
  );

/** Two words, such as `swift-heron`; from the fifth attempt on also a number, so that a full directory still gives a free one. */
export function generateName(attempt = 0): string {
  const words = `${adjectives[randomInt(adjectives.length)]}-${nouns[randomInt(nouns.length)]}`;
  return attempt < 5 ? words : `${words}-${randomInt(1_000_000)}`;
}
