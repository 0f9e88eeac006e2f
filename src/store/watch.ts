// Notice of changes in a directory, by inotify through fs.watch. Only ever a hint: inotify instances are limited per user and events can
// be dropped, so whoever waits also looks again after an interval.

import { type FSWatcher, watch } from 'node:fs';

export class DirectoryWatch {
  private readonly watcher: FSWatcher | undefined;
  private changed = false;
  private wakeUp: (() => void) | undefined;

  /** Without `onChange` a change wakes the caller of next. */
  constructor(directory: string, onChange: () => void = () => this.notify()) {
    try {
      this.watcher = watch(directory, onChange);
      this.watcher.on('error', () => this.watcher?.close());
    } catch {
      // No inotify instance left, or the directory is gone: the interval serves.
    }
  }

  /** Resolves at the next change, or at once if one happened since it last resolved. One caller at a time. */
  readonly next = (): Promise<void> =>
    new Promise((resolve) => {
      if (this.changed) {
        this.changed = false;
        resolve();
      } else {
        this.wakeUp = resolve;
      }
    });

  /** Marks a change by hand: several watches can wake one waiter. */
  notify(): void {
    const wake = this.wakeUp;
    this.wakeUp = undefined;
    if (wake === undefined) this.changed = true;
    else wake();
  }

  close(): void {
    this.watcher?.close();
    this.notify();
  }
}
