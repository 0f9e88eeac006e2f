// Addresses of environments, as native/runtime/net_address.h has them: an application with host part h is 10.10.(h >> 8).(h & 255) for
// itself and its neighbours, and 127.NETWORK.c.(h & 255) for the system. c: loopback, IPv6 alone and a port below 1024 a bit each, from the top,
// then 5 bits of the host part.

export const maxHost = 8191;
/** The keeper's side of published connections. */
export const gatewayHost = 254;
export const minNetwork = 2;
export const maxNetwork = 254;

export function virtualAddress(host: number): string {
  return `10.10.${host >> 8}.${host & 255}`;
}

export function realAddress(network: number, host: number): string {
  return `127.${network}.${host >> 8}.${host & 255}`;
}

export interface VirtualPort {
  readonly host: number;
  readonly loopback: boolean;
  readonly ipv6Only: boolean;
  readonly port: number;
}

/** What a real address and port of the network stand for; `address` as four numbers. */
export function virtualPort(network: number, address: readonly number[], port: number): VirtualPort | undefined {
  const [first, second, third = 0, fourth = 0] = address;
  if (first !== 127 || second !== network) return undefined;
  return {
    host: ((third & 31) << 8) | fourth,
    loopback: (third & 0x80) !== 0,
    ipv6Only: (third & 0x40) !== 0,
    port: (third & 0x20) === 0 ? port : port - 30_000,
  };
}
