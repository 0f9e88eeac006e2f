// Images that are missing, cut short, altered or foreign: exit 5 (6 for one that is not there) with the file and the place, no process left
// behind, and the image as it was.

import { chmodSync, mkdirSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { hashes, ImageCopy } from '../support/images.js';
import { compiledPrograms } from '../support/paths.js';
import { users } from '../support/users.js';

/** `count` places in [0, size): both ends, their neighbours, and the rest spread evenly with a stride that hits no alignment. */
function places(size: number, count: number): number[] {
  const spread = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.37) * size) / count));
  return [...new Set([0, 1, 7, 8, size - 1, size - 2, ...spread])]
    .filter((at) => at >= 0 && at < size)
    .sort((a, b) => a - b);
}

describe.each(users)('as $name', (user) => {
  let home: TestHome;
  let image: string;
  let original: Record<string, string>;

  beforeAll(async () => {
    home = TestHome.create(user);
    await home.run('sleeper', [join(compiledPrograms, 'sleeper'), '2500000', '3']);
    await home.outputLine('sleeper', 'listening');
    await home.ok(['checkpoint', 'sleeper']);
    image = join(home.state, 'snapshots', 'sleeper@1');
    original = hashes(image);
    expect(Object.keys(original)).toEqual(expect.arrayContaining(['image.stasis', 'runtime']));
  });

  afterAll(async () => {
    // The image of all these tests is still what it was, and good.
    expect(hashes(image)).toEqual(original);
    await home.ok(['restore', 'sleeper@1', '--detach', '--name', 'intact']);
    await home[Symbol.asyncDispose]();
  });

  async function refused(directory: string, code: number, text: RegExp): Promise<void> {
    const before = hashes(directory);
    const outcome = await home.stasis(['restore', directory, '--detach', '--name', 'never']);
    expect(outcome, `${directory}\n${outcome.stderr}`).toMatchObject({
      code,
      stdout: '',
      stderr: expect.stringMatching(text),
    });
    await home.noProcess();
    expect(hashes(directory), 'the image is untouched').toEqual(before);
    const { code: unknown } = await home.stasis(['wait', 'never']);
    expect(unknown, 'no application of that name is left').toBe(6);
  }

  test('image.stasis cut at many lengths', async () => {
    const size = ImageCopy.make(home, image).size('image.stasis');
    for (const length of places(size, 16)) {
      const copy = ImageCopy.make(home, image);
      copy.truncate('image.stasis', length);
      await refused(copy.directory, 5, /image\.stasis/);
    }
  });

  test('image.stasis with bits flipped in many places', async () => {
    const size = ImageCopy.make(home, image).size('image.stasis');
    for (const offset of places(size, 24)) {
      const copy = ImageCopy.make(home, image);
      copy.flip('image.stasis', offset);
      await refused(copy.directory, 5, /image\.stasis.*\d/s);
    }
  });

  test('pages cut, flipped, longer, gone', async () => {
    const file = ImageCopy.make(home, image).pageFiles[0] ?? 'pages-0.raw';
    const size = ImageCopy.make(home, image).size(file);
    for (const length of [0, 1, 4096, size - 4096, size - 1]) {
      const copy = ImageCopy.make(home, image);
      copy.truncate(file, length);
      await refused(copy.directory, 5, /pages-.*\d/s);
    }
    for (const offset of places(size, 12)) {
      const copy = ImageCopy.make(home, image);
      copy.flip(file, offset);
      await refused(copy.directory, 5, /pages-.*\d/s);
    }
    const longer = ImageCopy.make(home, image);
    longer.truncate(file, size + 4096);
    await refused(longer.directory, 5, /pages-/);
    const gone = ImageCopy.make(home, image);
    unlinkSync(join(gone.directory, file));
    await refused(gone.directory, 5, /pages-/);
  });

  test('a stored snapshot altered where it lies, after its checksums were once found right', async () => {
    const stored = ImageCopy.at(image);
    const file = stored.pageFiles[0] ?? 'pages-0.raw';
    const offset = Math.floor(stored.size(file) / 2);
    stored.flip(file, offset);
    await refused(image, 5, /pages-.*\d/s);
    stored.flip(file, offset);
  });

  test('the copy of the runtime altered or gone', async () => {
    for (const offset of [100, 5000]) {
      const altered = ImageCopy.make(home, image);
      altered.flip('runtime', offset);
      // The state directory holds the same runtime by build id, so this image may still be restored from there; it must not be harmed by it.
      const { code, stderr } = await home.stasis(['restore', altered.directory, '--detach', '--name', 'either']);
      expect([0, 5], stderr).toContain(code);
      if (code === 0) {
        await home.ok(['kill', 'either', '--signal', 'KILL']);
        expect(await home.ended('either')).toBe('signaled 9');
        await home.ok(['rm', 'either']);
      }
    }
    // A host that has never seen this runtime.
    const foreign = TestHome.create(user);
    try {
      const altered = ImageCopy.make(foreign, image);
      altered.flip('runtime', 9000);
      const { code, stderr } = await foreign.stasis(['restore', altered.directory, '--detach', '--name', 'never']);
      expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringMatching(/runtime/) });
      unlinkSync(join(altered.directory, 'runtime'));
      expect((await foreign.stasis(['restore', altered.directory, '--detach', '--name', 'never'])).code).toBeOneOf([
        4, 5,
      ]);
      await foreign.noProcess();
      const whole = ImageCopy.make(foreign, image, 'whole');
      await foreign.ok(['restore', whole.directory, '--detach', '--name', 'elsewhere']);
      // Its environment is the image's, so it counts as a process of the other state directory: ended here.
      await foreign.ok(['kill', 'elsewhere', '--signal', 'KILL']);
      expect(await foreign.ended('elsewhere')).toBe('signaled 9');
    } finally {
      await foreign[Symbol.asyncDispose]();
    }
  });

  test('foreign files in place of an image', async () => {
    const foreign: [string, Buffer][] = [
      ['empty', Buffer.alloc(0)],
      ['text', Buffer.from('this is a text file, no image\n'.repeat(100))],
      ['zeros', Buffer.alloc(100_000)],
      ['an archive', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(5000, 0x5a)])],
      ['an ELF file', Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01'), Buffer.alloc(4089)])],
    ];
    for (const [name, data] of foreign) {
      const directory = join(home.scratch, 'foreign');
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      writeFileSync(join(directory, 'image.stasis'), data);
      chmodSync(directory, 0o755);
      await refused(directory, 5, /image\.stasis/);
      const inspected = await home.stasis(['inspect', directory]);
      expect(inspected, name).toMatchObject({ code: 5, stdout: '' });
    }
  });

  test('missing', async () => {
    const empty = join(home.scratch, 'empty');
    mkdirSync(empty);
    chmodSync(empty, 0o755);
    await refused(empty, 6, /image\.stasis|no snapshot/);
    for (const argument of ['nobody', 'sleeper@99', '/no/such/directory', './nothing']) {
      const { code, stderr } = await home.stasis(['restore', argument, '--detach', '--name', 'never']);
      expect({ code, stderr }).toMatchObject({ code: 6, stderr: expect.stringContaining(argument.replace('./', '')) });
    }
    await home.noProcess();
    expect(readdirSync(join(home.state, 'snapshots'))).toEqual(['sleeper@1']);
  });

  test('inspect tells what is wrong as well', async () => {
    const copy = ImageCopy.make(home, image);
    copy.flip('image.stasis', Math.floor(copy.size('image.stasis') / 2));
    expect(await home.stasis(['inspect', copy.directory])).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/image\.stasis.*\d/s),
    });
    expect((await home.ok(['inspect', 'sleeper@1'])).length).toBeGreaterThan(500);
    expect(await home.ok(['inspect', 'sleeper@1', '--json'])).toBeTypeOf('object');
  });
});
