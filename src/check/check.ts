// What this host offers: every kernel feature that Stasis uses, found by trying it (the addon's probe), and whether the rest can do with
// what is there.

import type { Feature } from '../native.js';
import { callNative } from '../native-call.js';

export interface HostReport {
  /** Every required feature is there. */
  readonly ready: boolean;
  readonly features: readonly Feature[];
}

export async function checkHost(): Promise<HostReport> {
  const features = await callNative((addon) => addon.probe());
  return { ready: features.every((feature) => feature.available || !feature.required), features };
}
