// The library's entry: one object for one state directory.
//
//     const stasis = await Stasis.open();
//     const app = await stasis.run(['node', 'server.js'], { name: 'web' });
//     const snapshot = await app.checkpoint();
//     const again = await stasis.restore(snapshot);

import { Application, type RemoveOptions } from './application/application.js';
import { type ApplicationEvent, applicationEvents } from './application/events.js';
import { findRecord } from './application/find.js';
import { type RunOptions, run } from './application/launch.js';
import { removeByReference } from './application/remove.js';
import { badType, checkOptions, checkSignal, checkText } from './arguments.js';
import { checkHost, type HostReport } from './check/check.js';
import { type CheckpointOptions, checkpoint } from './snapshot/checkpoint.js';
import { type RestoreOptions, restore } from './snapshot/restore.js';
import { Snapshot } from './snapshot/snapshot.js';
import type { Home } from './store/home.js';
import { openDefaultHome, openHome } from './store/open.js';
import { listRecords } from './store/record.js';
import { findSnapshot, listSnapshots } from './store/snapshots.js';

export interface OpenOptions {
  /** State directory; default `$STASIS_HOME`, else `$XDG_STATE_HOME/stasis`, else `~/.local/state/stasis`. */
  readonly home?: string;
}

export class Stasis {
  readonly #home: Home;

  private constructor(home: Home) {
    this.#home = home;
  }

  /** Opens the state directory, makes it if it is missing, and clears what interrupted checkpoints left there. */
  static async open(options: OpenOptions = {}): Promise<Stasis> {
    checkOptions(options);
    return new Stasis(
      options.home === undefined ? openDefaultHome() : openHome(checkText('options.home', options.home)),
    );
  }

  /** Absolute path of the state directory. */
  get home(): string {
    return this.#home.root;
  }

  /** Starts a program as an application. Resolves once it runs; it outlives this process. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Application> {
    return run(this.#home, command, options);
  }

  /** Saves an application. It is stopped afterwards unless told otherwise; whatever fails leaves it running. */
  async checkpoint(application: Application | string, options: CheckpointOptions = {}): Promise<Snapshot> {
    const nameOrId = application instanceof Application ? application.id : checkText('application', application);
    return checkpoint(this.#home, await findRecord(this.#home, nameOrId), options);
  }

  /** Rebuilds an application from a snapshot, as often as wanted. All or nothing. */
  async restore(snapshot: Snapshot | string, options: RestoreOptions = {}): Promise<Application> {
    return restore(this.#home, snapshot instanceof Snapshot ? snapshot : this.#locate(snapshot), options);
  }

  /** Every application, running or ended, oldest first. */
  async applications(): Promise<Application[]> {
    return (await listRecords(this.#home)).map((record) => new Application(this.#home, record));
  }

  async application(nameOrId: string): Promise<Application> {
    return new Application(this.#home, await findRecord(this.#home, checkText('nameOrId', nameOrId)));
  }

  /** Forgets an application that has ended (by name or id), or deletes a snapshot (by NAME@N). */
  async remove(reference: string, options: RemoveOptions = {}): Promise<void> {
    checkOptions(options);
    checkSignal(options.signal);
    return removeByReference(this.#home, checkText('reference', reference), options);
  }

  /** Every snapshot in the state directory, by name and number. */
  async snapshots(): Promise<Snapshot[]> {
    return listSnapshots(this.#home).map((location) => new Snapshot(this.#home, location));
  }

  /** A snapshot by path (with a slash), NAME@N, NAME or application id. */
  async snapshot(reference: string): Promise<Snapshot> {
    return new Snapshot(this.#home, this.#locate(reference));
  }

  /** Every record of a snapshot's image. */
  async inspect(snapshot: Snapshot | string): Promise<Record<string, unknown>> {
    const found = snapshot instanceof Snapshot ? snapshot : await this.snapshot(snapshot);
    return found.inspect();
  }

  /** What this host offers. */
  async check(): Promise<HostReport> {
    return checkHost();
  }

  /** What happens to applications from this call on, whichever process causes it. Ends when it is returned from or aborted. */
  events(options: { readonly signal?: AbortSignal } = {}): AsyncIterableIterator<ApplicationEvent> {
    checkOptions(options);
    checkSignal(options.signal);
    return applicationEvents(this.#home, options.signal);
  }

  #locate(reference: unknown) {
    if (typeof reference !== 'string') throw badType('snapshot', 'a Snapshot or a string', reference);
    return findSnapshot(this.#home, checkText('snapshot', reference));
  }
}
