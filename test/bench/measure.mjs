// Clock, statistics, and clients that add as little as they can to what they measure.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { cpus, release } from 'node:os';
import { createInterface } from 'node:readline';

export const now = () => performance.now();
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const deadlineMs = 60_000;

/** What figures are of; without the load, which counts at the start of a run. */
export const host = () => ({
  kernel: release(),
  cpu: cpus()[0]?.model ?? 'unknown',
  cpus: cpus().length,
  node: process.version,
  uid: process.getuid(),
});

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What a list of samples comes to; undefined for none. */
export function summary(samples) {
  if (samples.length === 0) return undefined;
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), samples };
}

/**
 * Connects, sends, and resolves with the first bytes of the answer, or those up to `part`; undefined when nobody answers so yet. Closes
 * the connection. `text` has a character for each byte.
 */
function attempt(port, text, part = '') {
  return new Promise((resolve) => {
    let reply;
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.once('connect', () => socket.write(text, 'latin1'));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (!answer.includes(part)) return;
      reply = { at: now(), answer };
      socket.destroy();
    });
    socket.once('error', () => {});
    socket.once('close', () => resolve(reply));
  });
}

/** The instant of the first reply. Tries again every millisecond as long as nobody listens. */
export async function firstReply(port, text, part) {
  const deadline = now() + deadlineMs;
  for (;;) {
    const reply = await attempt(port, text, part);
    if (reply !== undefined && !reply.answer.startsWith('-LOADING')) return reply.at;
    if (now() > deadline) throw new Error(`nobody answered on port ${port} within ${deadlineMs} ms`);
    await sleep(1);
  }
}

// performance.now() counts from another origin than CLOCK_MONOTONIC, at the same pace.
const monotonicOrigin = Number(process.hrtime.bigint()) / 1e6 - now();

/**
 * Asks for a first reply from a process of its own, already while what will answer is being started. `reply()` is its instant on our clock.
 */
export async function probe(program, port, text, part) {
  const request = text.replace(/[^ -[\]-~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const child = spawn(program, [String(port), request, ...(part ? [part] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, 'line');
  if (line !== 'probing') throw new Error(`the prober said ${line}`);
  lines.on('line', (text) => {
    output = text;
  });
  const closed = once(lines, 'close');
  return {
    async reply() {
      await closed;
      if (output === '') throw new Error(`nobody answered on port ${port}`);
      return Number(output) / 1e6 - monotonicOrigin;
    },
    stop: () => end(child),
  };
}

export const httpRequest = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n';

/** Requests one after another, each on a connection of its own that both sides have closed. */
export async function warm(port, text, requests) {
  for (let i = 0; i < requests; i++)
    if ((await attempt(port, text)) === undefined) throw new Error(`port ${port} does not answer`);
  await sleep(300);
}

/**
 * HTTP requests one after another over one connection, closed at the end by us: thousands of connections that the server has closed would
 * stay behind in TIME_WAIT, and the kernel walks them all when the port is bound anew, by whomever.
 */
export async function warmHttp(port, requests) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < requests; i++) {
    const [response] = await once(get({ port, host: '127.0.0.1', agent }), 'response');
    response.resume();
    await once(response, 'end');
  }
  agent.destroy();
  await sleep(300);
}

/** Proportional set size, bytes. */
export function pss(pid) {
  const match = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}

/** Starts a program in a session of its own with its output to a file or nowhere, as a service manager would. */
export function startBare(words, options = {}) {
  const child = spawn(words[0], words.slice(1), { stdio: 'ignore', detached: true, ...options });
  child.once('error', (error) => {
    throw error;
  });
  return child;
}

export async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Standard output of a program that must succeed. */
export async function outputOf(words, options = {}) {
  const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}
