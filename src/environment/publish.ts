// Published ports: `HOST:PORT[:VPORT][/udp]` is a port of the host at which a port of the application is reachable. HOST is a numeric
// address, one of IPv6 in brackets, or `localhost`.

import { isIPv4, isIPv6 } from 'node:net';
import { badType, badValue } from '../arguments.js';

export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  /** In the environment. */
  readonly inside: number;
}

const pattern = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})(?::(\d{1,5}))?(?:\/(tcp|udp))?$/;
/** As many as a keeper takes (native/keeper/options.h). */
const maxPublished = 64;

export function checkPublished(argument: string, value: unknown): readonly PublishedPort[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw badType(argument, 'an array of strings', value);
  if (value.length > maxPublished) throw badValue(argument, `must not have more than ${maxPublished} entries`);
  return value.map((entry, index) => checkOne(`${argument}[${index}]`, entry));
}

function checkOne(argument: string, value: unknown): PublishedPort {
  if (typeof value !== 'string') throw badType(argument, 'a string', value);
  const match = pattern.exec(value);
  const [, six, four, port, inside = port, protocol = 'tcp'] = match ?? [];
  const address = four === 'localhost' ? '127.0.0.1' : (six ?? four ?? '');
  const good = match !== null && (six === undefined ? isIPv4(address) : isIPv6(address) && !address.includes('%'));
  if (!good) throw badValue(argument, `must be HOST:PORT[:VPORT][/udp], not ${JSON.stringify(value)}`);
  return { protocol: protocol as 'tcp' | 'udp', address, port: checkPort(port), inside: checkPort(inside) };

  function checkPort(text: string | undefined): number {
    const number = Number(text);
    if (!(number >= 1 && number <= 65_535)) throw badValue(argument, `has an impossible port: ${text}`);
    return number;
  }
}

/** As the keeper takes it. */
export function keeperArgument({ protocol, address, port, inside }: PublishedPort): string {
  return `${protocol},${address},${port},${inside}`;
}
