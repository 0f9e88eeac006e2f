// The shape of app.json as a schema. In a file of its own because loading zod costs more than most commands take.

import { z } from 'zod';
import { maxHost, maxNetwork, minNetwork } from '../environment/address.js';
import { applicationIdPattern } from './home.js';
import { isName } from './names.js';
import type { ApplicationRecord } from './record.js';

const text = z.string().max(4096);
const count = z.number().int().nonnegative();
const number64 = z.string().regex(/^\d{1,20}$/);
const port = z.number().int().min(1).max(65_535);
const stream = z.object({ dev: number64, ino: number64, type: count });

const schema = z.object({
  version: z.literal(1),
  id: z.string().regex(applicationIdPattern),
  name: z.string().refine(isName, 'is no name'),
  command: z.array(z.string()),
  cwd: text,
  mode: z.enum(['detached', 'foreground']),
  createdAt: count,
  runtime: z.string().regex(/^[0-9a-f]{0,128}$/),
  stdio: z.tuple([stream, stream, stream]),
  logged: z.boolean(),
  launcher: z.object({ pid: count, startTime: count }),
  bootId: z.string().max(64),
  restoredFrom: text.nullable(),
  lastCheckpoint: z.object({ snapshot: text, at: count }).nullable(),
  environment: z
    .object({
      name: z.string().refine(isName, 'is no name'),
      network: z.number().int().min(minNetwork).max(maxNetwork),
      host: z.number().int().min(1).max(maxHost),
      publish: z.array(z.object({ protocol: z.enum(['tcp', 'udp']), address: z.string().max(64), port, inside: port })),
    })
    .exactOptional(),
});

export function parseRecord(json: string): { record: ApplicationRecord } | { problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return { problem: 'not JSON' };
  }
  const result = schema.safeParse(value);
  if (result.success) return { record: result.data };
  const issue = result.error.issues[0];
  return { problem: issue === undefined ? 'wrong shape' : `${issue.path.join('.') || 'record'}: ${issue.message}` };
}
