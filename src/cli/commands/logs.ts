// stasis logs: an application's stdout on stdout and its stderr on stderr, byte for byte; with --json one object per line on stdout.

import { once } from 'node:events';
import { StringDecoder } from 'node:string_decoder';
import type { Command } from 'commander';
import type { LogChunk } from '../../application/logs.js';
import { Stasis } from '../../stasis.js';
import type { ActionRunner } from '../main.js';
import { endWhenReaderGoes, type Output } from '../output.js';
import { parseCount } from '../values.js';

interface Options {
  readonly follow?: boolean;
  readonly tail?: string;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<application>', 'name or id')
    .option('-f, --follow', 'go on until the application has ended')
    .option('-n, --tail <lines>', 'only the last lines of each stream')
    .action((nameOrId: string, options: Options) =>
      run(async (output) => {
        const tail = options.tail === undefined ? {} : { tail: parseCount(options.tail) };
        const stasis = await Stasis.open();
        const application = await stasis.application(nameOrId);
        const chunks = application.logs({ follow: options.follow ?? false, ...tail });
        await (output.json ? printLines(chunks, output) : printBytes(chunks));
      }),
    );
}

async function printBytes(chunks: AsyncIterable<LogChunk>): Promise<void> {
  endWhenReaderGoes();
  for await (const { stream, data } of chunks) {
    const target = stream === 'stdout' ? process.stdout : process.stderr;
    // A slow reader slows the reading, so that a large log does not pile up in memory.
    if (!target.write(data)) await once(target, 'drain');
  }
}

async function printLines(chunks: AsyncIterable<LogChunk>, output: Output): Promise<void> {
  const streams = {
    stdout: { decoder: new StringDecoder('utf8'), rest: '' },
    stderr: { decoder: new StringDecoder('utf8'), rest: '' },
  };
  for await (const { stream, data } of chunks) {
    const state = streams[stream];
    const lines = (state.rest + state.decoder.write(data)).split('\n');
    state.rest = lines.pop() ?? '';
    for (const line of lines) output.record({ stream, line });
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    const line = streams[stream].rest + streams[stream].decoder.end();
    if (line !== '') output.record({ stream, line });
  }
}
