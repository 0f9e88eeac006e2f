// One restore by way of the library, in a process of its own that is killed in the midst of it: node restore-library.mjs LIBRARY SNAPSHOT
// NAME MICROSECONDS. Whoever kills is a thread, since a restore may not be interrupted by its own thread's timers. Prints "done" if it
// comes to that.
import { Worker } from 'node:worker_threads';

const [library, snapshot, name, microseconds] = process.argv.slice(2);
const { Stasis } = await import(library);
const stasis = await Stasis.open();
const shared = new Int32Array(new SharedArrayBuffer(8));
new Worker(
  `const { workerData: shared } = require('node:worker_threads');
  Atomics.store(shared, 1, 1);
  Atomics.notify(shared, 1);
  Atomics.wait(shared, 0, 0);
  Atomics.wait(shared, 0, 1, ${Number(microseconds) / 1000});
  process.kill(process.pid, 'SIGKILL');`,
  { eval: true, workerData: shared },
);
await Atomics.waitAsync(shared, 1, 0).value;
Atomics.store(shared, 0, 1);
Atomics.notify(shared, 0);
await stasis.restore(snapshot, { name });
process.stdout.write('done\n');
