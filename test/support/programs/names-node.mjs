// An HTTP server that answers with the names of its sockets. Arguments: port and, if wanted, address. Says `listening`.
import { createServer } from 'node:http';

const [port, address] = process.argv.slice(2);
const server = createServer(({ socket }, response) => {
  const { localAddress, localPort, remoteAddress } = socket;
  response.end(
    JSON.stringify({ name: process.env.NAME, bound: server.address(), localAddress, localPort, remoteAddress }),
  );
});
server.listen(Number(port), address, () => console.log('listening'));
