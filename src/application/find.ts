// Looking applications up by name or id.

import { StasisError } from '../errors.js';
import { applicationIdPattern, type Home } from '../store/home.js';
import { holderOfName, isName } from '../store/names.js';
import { type ApplicationRecord, readRecord } from '../store/record.js';

export async function findRecord(home: Home, nameOrId: string): Promise<ApplicationRecord> {
  const holder = isName(nameOrId) ? holderOfName(home, nameOrId) : undefined;
  if (holder === null) {
    throw new StasisError('NotFound', `the application named ${nameOrId} is gone`, {
      remedy: `\`stasis rm ${nameOrId}\` frees the name`,
    });
  }
  const record =
    (holder === undefined ? undefined : await readRecord(home, holder)) ?? (await readById(home, nameOrId));
  if (record !== undefined) return record;
  throw notFound(nameOrId);
}

async function readById(home: Home, id: string): Promise<ApplicationRecord | undefined> {
  return applicationIdPattern.test(id) ? readRecord(home, id) : undefined;
}

export function notFound(nameOrId: string): StasisError {
  return new StasisError('NotFound', `no application ${JSON.stringify(nameOrId)}`, {
    remedy: '`stasis ps --all` lists what there is',
  });
}
