// An HTTP server that counts its requests: `node http-node.mjs PORT [HEAP_MB]`. With HEAP_MB it first builds a heap of about that size from
// small objects. GET / answers {count, uptime, check}: requests so far, seconds of the process's own clock, and a sum over the heap when
// the path is /check.
import { createServer } from 'node:http';

const port = Number(process.argv[2]);
const heap = buildHeap(Number(process.argv[3] ?? 0));
let count = 0;

function buildHeap(megabytes) {
  const items = [];
  // One entry takes about 205 bytes: two objects, a heap number, a string of its own and the slots that hold them.
  for (let i = 0; i < megabytes * 4900; i++) {
    items.push({ id: i, ratio: i / 7, name: `item ${i}`, tags: [i & 1, i & 2, i & 4] });
  }
  return items;
}

function check() {
  let sum = 0;
  for (const item of heap)
    sum = (sum + item.id * 31 + item.name.length + item.tags.length + Math.floor(item.ratio)) % 1_000_000_007;
  return sum;
}

const server = createServer((request, response) => {
  count++;
  const answer = { count, uptime: performance.now() / 1000, ...(request.url === '/check' ? { check: check() } : {}) };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(answer));
});
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', () => console.log('listening'));
