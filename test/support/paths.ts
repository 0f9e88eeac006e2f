// Where things are.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** The command, as the package installs it. */
export const command = join(checkout, 'dist/cli/main.js');
export const library = join(checkout, 'dist/index.js');
export const guestSources = join(checkout, 'test/guests');
export const guestBinaries = join(checkout, 'build/guests');
/** Sources of the server programs, and those of them that were compiled. */
export const programs = join(checkout, 'test/support/programs');
export const compiledPrograms = join(checkout, 'build/programs');
