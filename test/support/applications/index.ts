// The list of whole applications that the tests and the soak run. Only the soak has nginx under wrk: with connections that come and go by
// the thousand at the moment of the checkpoint, some checkpoints are refused that need not be (docs/state.md).

import type { Application } from './application.js';
import { postgres } from './postgres.js';
import { pipeline, redis, sqlite } from './storage.js';
import { go, java, nginx, nginxBusy, nodeCluster, pool } from './web.js';

export const applications: readonly Application[] = [
  postgres,
  nginx,
  redis,
  nodeCluster,
  pipeline,
  pool,
  java,
  go,
  sqlite,
];

/** Of the soak alone. */
export const longRunning: readonly Application[] = [...applications, nginxBusy];
