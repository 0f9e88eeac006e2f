// The state directory as every command opens it.

import { defaultHome, Home } from './home.js';
import { cleanPartials } from './partial.js';

/** Opens the state directory at `path` and clears what interrupted checkpoints left there. */
export function openHome(path: string): Home {
  const home = Home.open(path);
  cleanPartials(home);
  return home;
}

export function openDefaultHome(): Home {
  return openHome(defaultHome());
}
