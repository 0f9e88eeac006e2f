// TCP connections to who is not saved: refused, or, with --tcp-close, found reset by the restored program, whose clients see a reset, too.

import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { firstAnswer, freePort, get } from '../support/http.js';
import { programs } from '../support/paths.js';
import { users } from '../support/users.js';

describe.each(users)('as $name', (user) => {
  test('a server is saved with its client, who is cut off, and answers others after the restore', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.run('web', [process.execPath, join(programs, 'http-node.mjs'), String(port)]);
    await firstAnswer(port);
    const client = connect(port, '127.0.0.1');
    await new Promise((resolve) => client.once('connect', resolve));
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await new Promise((resolve) => client.once('data', resolve));
    const ended = new Promise<string>((resolve) => {
      client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      client.once('end', () => resolve('end'));
    });

    const refused = await home.stasis(['checkpoint', 'web']);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('--tcp-close') });
    expect(refused.stderr).toContain(String(client.localPort));

    expect(await home.stasis(['checkpoint', '--tcp-close', 'web'])).toMatchObject({ code: 0 });
    expect(await ended).toBe('ECONNRESET');
    expect(await home.stasis(['restore', 'web@1', '--detach', '--name', 'copy'])).toMatchObject({ code: 0 });
    expect((await get(port)).count).toBe(3);
    expect(home.status('copy').state).toBe('running');
  });
});
