// Node with worker threads: `node workers-node.mjs PORT`. GET / sends a number to each of three workers, one of which blocks in Atomics.wait
// between requests, and answers {count, results, uptime}.
import { createServer } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const shared = new Int32Array(new SharedArrayBuffer(16));
  const workers = [0, 1, 2].map((index) => new Worker(new URL(import.meta.url), { workerData: { index, shared } }));
  const timers = setInterval(() => Atomics.add(shared, 2, 1), 20);
  timers.unref();
  let count = 0;
  const ask = (worker, value) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.postMessage(value);
    });
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
  const server = createServer(async (_request, response) => {
    count++;
    Atomics.add(shared, 0, 1);
    Atomics.notify(shared, 0);
    const results = await Promise.all(workers.map((worker) => ask(worker, count)));
    response.end(JSON.stringify({ count, results, ticks: Atomics.load(shared, 2), uptime: performance.now() / 1000 }));
  });
  server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
} else {
  const { index, shared } = workerData;
  let seen = 0;
  parentPort.on('message', (value) => {
    seen++;
    // The wait is woken by a change of shared[0], or ends after a short time: either way the worker's thread blocks in a futex.
    if (index === 1) Atomics.wait(shared, 1, 0, 30);
    parentPort.postMessage({ index, seen, square: value * value, requests: Atomics.load(shared, 0) });
  });
}
