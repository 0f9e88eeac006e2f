// Answers each datagram with what it was and who sent it. Arguments: address, port. Says `listening` and the address it is bound to.
import { createSocket } from 'node:dgram';

const [address, port] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (data, from) => socket.send(`${data} from ${from.address}`, from.port, from.address));
socket.bind(Number(port), address, () => {
  const bound = socket.address();
  console.log(`bound ${bound.address}:${bound.port}`);
  console.log('listening');
});
