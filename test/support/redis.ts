// A Redis client of a few lines: one connection, commands in order. Closing it leaves the server without connections.

import { connect, type Socket } from 'node:net';
import { until } from './waiting.js';

type Reply = string | number | null | Reply[];

export class Redis {
  #buffer = Buffer.alloc(0);
  readonly #waiting: { resolve(reply: Reply): void; reject(error: Error): void }[] = [];

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#drain();
    });
    const fail = (error: Error): void => {
      for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    };
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('the server closed the connection')));
  }

  static connect(port: number): Promise<Redis> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Redis(socket));
      });
    });
  }

  call(...words: (string | number)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.socket.write(
        words.reduce<string>(
          (text, word) => `${text}$${Buffer.byteLength(String(word))}\r\n${word}\r\n`,
          `*${words.length}\r\n`,
        ),
      );
    });
  }

  /** Ends the connection and waits until both sides have closed it. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve();
      this.socket.once('close', () => resolve());
      this.socket.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #drain(): void {
    for (let parsed = this.#parse(0); parsed !== undefined; parsed = this.#parse(0)) {
      this.#buffer = this.#buffer.subarray(parsed.end);
      const waiter = this.#waiting.shift();
      if (parsed.error === undefined) waiter?.resolve(parsed.reply);
      else waiter?.reject(parsed.error);
    }
  }

  #parse(at: number): { reply: Reply; end: number; error?: Error } | undefined {
    const lineEnd = this.#buffer.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const text = this.#buffer.toString('latin1', at + 1, lineEnd);
    const end = lineEnd + 2;
    switch (String.fromCharCode(this.#buffer[at] ?? 0)) {
      case '+':
        return { reply: text, end };
      case '-':
        return { reply: null, end, error: new Error(text) };
      case ':':
        return { reply: Number(text), end };
      case '$': {
        const length = Number(text);
        if (length < 0) return { reply: null, end };
        if (this.#buffer.length < end + length + 2) return undefined;
        return { reply: this.#buffer.toString('utf8', end, end + length), end: end + length + 2 };
      }
      case '*': {
        const items: Reply[] = [];
        let position = end;
        for (let i = 0; i < Number(text); i++) {
          const item = this.#parse(position);
          if (item === undefined) return undefined;
          items.push(item.reply);
          position = item.end;
        }
        return { reply: items, end: position };
      }
      default:
        return { reply: null, end, error: new Error(`no Redis reply: ${text}`) };
    }
  }
}

/** Fills `keys` keys of several types through one connection, by a script that runs in the server. */
export async function fill(redis: Redis, keys: number, seed: number): Promise<void> {
  const script = `
    for i = 0, tonumber(ARGV[1]) - 1 do
      local kind, key = i % 5, ARGV[2] .. ':' .. i
      if kind == 0 then redis.call('SET', key, string.rep(key, 40))
      elseif kind == 1 then redis.call('HSET', key, 'a', i, 'b', key, 'c', string.rep('z', i % 300))
      elseif kind == 2 then redis.call('RPUSH', key, i, i + 1, key)
      elseif kind == 3 then redis.call('ZADD', key, i, 'one', i * 2, 'two', i / 3, key)
      else redis.call('SADD', key, key, i, 'member') end
    end`;
  await redis.call('EVAL', script, 0, keys, `seed${seed}`);
}

/** What INFO tells by that name. */
export async function redisInfo(redis: Redis, section: string, name: string): Promise<string | undefined> {
  const lines = String(await redis.call('INFO', section)).split('\r\n');
  return lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
}

const saves = {
  BGSAVE: ['rdb_bgsave_in_progress', 'rdb_last_bgsave_status'],
  BGREWRITEAOF: ['aof_rewrite_in_progress', 'aof_last_bgrewrite_status'],
} as const;

/** Has a child of the server write its data, and waits for its success. */
export async function saveInChild(redis: Redis, command: keyof typeof saves): Promise<void> {
  const [running, outcome] = saves[command];
  // Refused as long as another child is at work.
  await until(`the start of ${command}`, async () => (await redis.call(command).catch(() => null)) !== null);
  await until(`the end of ${command}`, async () => (await redisInfo(redis, 'persistence', running)) === '0');
  const status = await redisInfo(redis, 'persistence', outcome);
  if (status !== 'ok') throw new Error(`${command}: ${outcome} is ${status}`);
}

export function redisWords(port: number, directory: string): string[] {
  const options = {
    port,
    bind: '127.0.0.1',
    save: '',
    appendonly: 'no',
    dir: directory,
    'enable-debug-command': 'yes',
    daemonize: 'no',
  };
  return ['redis-server', ...Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)])];
}
