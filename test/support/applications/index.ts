// The list of whole applications that the tests and the soak run.

import type { Application } from './application.js';
import { postgres } from './postgres.js';
import { pipeline, redis, sqlite } from './storage.js';
import { go, java, nginx, nodeCluster, pool } from './web.js';

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
