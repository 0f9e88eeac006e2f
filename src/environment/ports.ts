// Which ports are open on the host's loopback network, from /proc/net: what an application in an environment listens on, seen from outside.

import { readFileSync } from 'node:fs';
import { realAddress, type VirtualPort, virtualAddress, virtualPort } from './address.js';
import type { EnvironmentPlace } from './registry.js';

export interface SocketAddress {
  readonly protocol: 'tcp' | 'udp';
  /** Four numbers. */
  readonly address: readonly number[];
  readonly port: number;
  readonly listening: boolean;
}

export interface OpenPort {
  readonly protocol: 'tcp' | 'udp';
  /** As the application sees it. */
  readonly address: string;
  readonly port: number;
  readonly realAddress: string;
  readonly realPort: number;
}

/** IPv4 sockets, also v4-mapped ones of IPv6. */
export function hostSockets(): SocketAddress[] {
  const sockets: SocketAddress[] = [];
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const family of ['', '6']) sockets.push(...parseSockets(protocol, readText(`/proc/net/${protocol}${family}`)));
  }
  return sockets;
}

const rowPattern =
  /^ *\d+: (?:0{16}FFFF0000)?([0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{2}) /;

export function parseSockets(protocol: 'tcp' | 'udp', text: string): SocketAddress[] {
  const sockets: SocketAddress[] = [];
  for (const line of text.split('\n')) {
    const match = rowPattern.exec(line);
    if (match === null) continue;
    const [, address = '', port = '', , , state = ''] = match;
    // The kernel prints the address as a number of the host's byte order, which is little-endian.
    const octets = [6, 4, 2, 0].map((at) => Number.parseInt(address.slice(at, at + 2), 16));
    // TCP_LISTEN; an unconnected UDP socket is in TCP_CLOSE.
    const listening = state === (protocol === 'tcp' ? '0A' : '07');
    sockets.push({ protocol, address: octets, port: Number.parseInt(port, 16), listening });
  }
  return sockets;
}

/** What the application of a place listens on, by port. */
export function openPorts(place: EnvironmentPlace, sockets: readonly SocketAddress[]): OpenPort[] {
  const ports = new Map<string, OpenPort>();
  for (const { protocol, address, port, listening } of sockets) {
    const known = listening ? virtualPort(place.network, address, port) : undefined;
    if (known === undefined || known.host !== place.host) continue;
    const shown = shownAddress(known);
    const real = address.join('.');
    ports.set(`${protocol} ${real} ${port}`, {
      protocol,
      address: shown,
      port: known.port,
      realAddress: real,
      realPort: port,
    });
  }
  return [...ports.values()].sort((a, b) => a.port - b.port || a.protocol.localeCompare(b.protocol));
}

function shownAddress({ loopback, ipv6Only, host }: VirtualPort): string {
  if (ipv6Only) return loopback ? '::1' : '::';
  return loopback ? '127.0.0.1' : virtualAddress(host);
}

/** `10.10.0.1:8080=127.5.0.1:8080`, for people. */
export function describePlace(place: EnvironmentPlace, ports: readonly OpenPort[]): string {
  const words = ports.map(
    ({ protocol, address, port, realAddress: real, realPort }) =>
      `${bracketed(address)}:${port}=${real}:${realPort}${protocol === 'udp' ? '/udp' : ''}`,
  );
  if (words.length === 0) words.push(`${virtualAddress(place.host)}=${realAddress(place.network, place.host)}`);
  for (const { protocol, address, port, inside } of place.publish) {
    words.push(`${bracketed(address)}:${port}>${inside}${protocol === 'udp' ? '/udp' : ''}`);
  }
  return words.join(' ');
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A kernel without IPv6.
    return '';
  }
}
