// The same course on CRIU, when CRIU=/path/to/criu names one that works here. It needs root.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { end, now, outputOf, sleep, startBare } from './measure.mjs';

/** Frozen time, milliseconds, from CRIU's stats-dump: two magic words, a length, and a protobuf whose field 1 holds varints. */
export function frozenMs(file) {
  const bytes = readFileSync(file);
  let at = 12;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  if (bytes[at++] !== 0x0a) throw new Error(`${file} holds no statistics of a dump`);
  const stop = varint() + at;
  while (at < stop) {
    const field = varint() >> 3;
    const value = varint();
    if (field === 2) return value / 1000;
  }
  throw new Error(`${file} tells no frozen time`);
}

export class Criu {
  constructor(program, directory) {
    this.program = program;
    this.directory = join(directory, 'criu');
  }

  /** Why it cannot be used here; undefined when it can. */
  async problem(words) {
    const server = startBare(words);
    try {
      await sleep(200);
      await this.dump('probe', server.pid, false);
      const pid = (await this.restore('probe')).pid;
      process.kill(pid, 'SIGKILL');
      return undefined;
    } catch (error) {
      return error.message.trim().split('\n').slice(0, 4).join(' ');
    } finally {
      await end(server);
    }
  }

  async #run(images, args) {
    try {
      await outputOf([this.program, ...args, '-D', images, '--shell-job', '-o', 'log', '-v1']);
    } catch (error) {
      const log = join(images, 'log');
      const why = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(0, 2).join(' ') : error.message;
      throw new Error(`criu ${args[0]}: ${why}`, { cause: error });
    }
  }

  async dump(name, pid, leaveRunning) {
    const images = join(this.directory, name);
    rmSync(images, { recursive: true, force: true });
    mkdirSync(images, { recursive: true });
    const begun = now();
    await this.#run(images, ['dump', '-t', String(pid), ...(leaveRunning ? ['--leave-running'] : [])]);
    return { totalMs: now() - begun, pauseMs: frozenMs(join(images, 'stats-dump')) };
  }

  async restore(name) {
    const images = join(this.directory, name);
    const pidfile = join(images, `pid-${Date.now()}`);
    const begun = now();
    await this.#run(images, ['restore', '-d', '--pidfile', pidfile]);
    return { begun, resumedMs: now() - begun, pid: Number(readFileSync(pidfile, 'utf8')) };
  }

  get version() {
    return spawnSync(this.program, ['--version'], { encoding: 'utf8' })
      .stdout.split('\n')[0]
      .replace('Version:', 'CRIU');
  }
}
