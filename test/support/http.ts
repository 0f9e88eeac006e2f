// A client that opens one connection per request and closes it, so that a server is never left with an established connection.

import { request } from 'node:http';
import { createServer } from 'node:net';
import { until } from './waiting.js';

let nextPort = 20_000 + (process.pid % 97) * 100;

/** A port that nobody listens on, outside the range from which the kernel takes ports for outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    nextPort = nextPort >= 32_000 ? 20_000 : nextPort + 1;
    const port = nextPort;
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the shape is what the test then checks
export type Answer = any;

export function get(port: number, path = '/', ms = 10_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, path, agent: false, timeout: ms, headers: { connection: 'close' } },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        // 'close' comes after the socket is gone on this side, and the server has closed it too.
        response.on('close', () => {
          try {
            resolve(JSON.parse(text));
          } catch (error) {
            reject(new Error(`no JSON from port ${port}: ${text}`, { cause: error }));
          }
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error(`no answer from port ${port} within ${ms} ms`)));
    call.on('error', reject);
    call.end();
  });
}

/** Asks until there is an answer. */
export async function firstAnswer(port: number, path = '/', ms = 60_000): Promise<Answer> {
  let last: unknown;
  return until(
    `an answer on port ${port}`,
    () =>
      get(port, path).catch((error: unknown) => {
        last = error;
        return undefined;
      }),
    { ms, step: 20, detail: () => String(last) },
  );
}
