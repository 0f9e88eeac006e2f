// What environments read: published ports as they are written, sockets as /proc/net lists them, addresses given out and taken back.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describePlace, openPorts, parseSockets } from '../../src/environment/ports.js';
import { checkPublished, keeperArgument } from '../../src/environment/publish.js';
import { joinEnvironment, leaveEnvironment } from '../../src/environment/registry.js';
import { Home, newApplicationId } from '../../src/store/home.js';

describe('published ports', () => {
  test.each([
    ['127.0.0.1:8080', 'tcp,127.0.0.1,8080,8080'],
    ['0.0.0.0:80:8080', 'tcp,0.0.0.0,80,8080'],
    ['localhost:53:5353/udp', 'udp,127.0.0.1,53,5353'],
    ['[::1]:8080/tcp', 'tcp,::1,8080,8080'],
  ])('%s', (text, argument) => {
    expect(checkPublished('publish', [text]).map(keeperArgument)).toEqual([argument]);
  });

  test.each([
    '8080',
    ':8080',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '::1:80',
    '[::1%lo]:80',
    'a.b:80',
    '1.2.3.4:5/x',
  ])('%s is refused', (text) => {
    expect(() => checkPublished('publish', [text])).toThrow(RangeError);
  });

  test('types', () => {
    expect(checkPublished('publish', undefined)).toEqual([]);
    expect(() => checkPublished('publish', 'x')).toThrow(TypeError);
    expect(() => checkPublished('publish', [1])).toThrow(TypeError);
    expect(() => checkPublished('publish', Array(65).fill('127.0.0.1:1'))).toThrow(RangeError);
  });
});

describe('open ports', () => {
  const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
  const tcp = `${header}   0: 0100057F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n`;
  const tcp6 = `${header}   0: 0000000000000000FFFF00000120057F:7580 00000000000000000000000000000000:0000 0A 0:0\n   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0\n`;

  test('rows', () => {
    expect(parseSockets('tcp', tcp)).toEqual([
      { protocol: 'tcp', address: [127, 5, 0, 1], port: 8080, listening: true },
    ]);
    expect(parseSockets('tcp', tcp6)).toEqual([
      { protocol: 'tcp', address: [127, 5, 32, 1], port: 30_080, listening: true },
    ]);
    expect(parseSockets('tcp', tcp.replace(' 0A ', ' 01 '))[0]?.listening).toBe(false);
  });

  test('of an application', () => {
    const place = { name: 'a', network: 5, host: 1, publish: checkPublished('publish', ['127.0.0.1:9000:80']) };
    const ports = openPorts(place, [...parseSockets('tcp', tcp), ...parseSockets('tcp', tcp6)]);
    expect(describePlace(place, ports)).toBe(
      '10.10.0.1:80=127.5.32.1:30080 10.10.0.1:8080=127.5.0.1:8080 127.0.0.1:9000>80',
    );
    expect(openPorts({ ...place, host: 2 }, parseSockets('tcp', tcp))).toEqual([]);
    expect(describePlace({ ...place, publish: [] }, [])).toBe('10.10.0.1=127.5.0.1');
  });
});

describe('addresses', () => {
  test('are given out from the lowest, and again when they are free', async () => {
    const root = mkdtempSync(join(tmpdir(), 'stasis-environment-'));
    try {
      const home = Home.open(root);
      const start = async (name: string) => {
        const id = newApplicationId();
        mkdirSync(home.application(id).directory);
        return { id, place: await joinEnvironment(home, name, id, []) };
      };
      const [first, second, other] = [await start('one'), await start('one'), await start('two')];
      expect([first, second, other].map(({ place }) => place.host)).toEqual([1, 2, 1]);
      expect(second.place.network).toBe(first.place.network);
      expect(other.place.network).not.toBe(first.place.network);
      // Gone without a word.
      rmSync(home.application(first.id).directory, { recursive: true });
      expect((await start('one')).place.host).toBe(1);
      leaveEnvironment(home, second.place, first.id);
      expect((await start('one')).place.host).toBe(3);
      leaveEnvironment(home, second.place, second.id);
      expect((await start('one')).place.host).toBe(2);
      // At once.
      const places = await Promise.all(Array.from({ length: 8 }, () => start('one')));
      expect(places.map(({ place }) => place.host).sort((a, b) => a - b)).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
