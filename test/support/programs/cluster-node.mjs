// A Node cluster: `node cluster-node.mjs PORT`. Two workers answer HTTP on PORT; each also has a child (child_process.fork) that counts. The
// primary numbers its messages to every worker, the worker passes each on to its child, and the child's answer comes back the same way: a
// message that is lost, doubled or out of order shows as a gap. GET / answers {pid, messages: {WORKER: answered}, gaps}.
import { fork } from 'node:child_process';
import cluster from 'node:cluster';
import { createServer } from 'node:http';

if (process.argv[3] === 'child') {
  let last = 0;
  process.on('message', ({ n }) => {
    process.send({ n, gap: n !== last + 1 });
    last = n;
  });
} else if (cluster.isPrimary) {
  const state = { messages: {}, gaps: 0 };
  let listening = 0;
  for (let i = 0; i < 2; i++) {
    const worker = cluster.fork();
    let sent = 0;
    const next = () => worker.send({ n: ++sent, state });
    worker.on('message', ({ n, gap }) => {
      if (gap || n !== sent) state.gaps++;
      state.messages[worker.id] = n;
      setImmediate(next);
    });
    worker.on('listening', () => {
      next();
      if (++listening === 2) console.log('listening');
    });
    worker.on('exit', () => process.exit(1));
  }
} else {
  const child = fork(new URL(import.meta.url), [process.argv[2], 'child']);
  let state = {};
  let last = 0;
  let gap = false;
  process.on('message', (message) => {
    if (message.state === undefined) return;
    gap ||= message.n !== last + 1;
    last = message.n;
    state = message.state;
    child.send({ n: message.n });
  });
  child.on('message', (answer) => process.send({ n: answer.n, gap: answer.gap || gap }));
  createServer((_request, response) => {
    response.setHeader('connection', 'close');
    response.end(JSON.stringify({ pid: process.pid, ...state }));
  }).listen(Number(process.argv[2]), '127.0.0.1');
}
