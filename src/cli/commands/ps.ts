// stasis ps: running applications; with --all also the ended ones, how they ended and where they were saved.

import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { Application } from '../../application/application.js';
import { describeStatus, formatAge } from '../../application/describe.js';
import { countProcesses } from '../../application/processes.js';
import { describePlace, hostSockets, openPorts } from '../../environment/ports.js';
import { Stasis } from '../../stasis.js';
import { type ApplicationStatus, hasEnded } from '../../store/status.js';
import type { ActionRunner } from '../main.js';
import { table } from '../output.js';

export function define(command: Command, run: ActionRunner): void {
  command.option('-a, --all', 'also those that have ended').action((options: { all?: boolean }) =>
    run(async (output) => {
      const stasis = await Stasis.open();
      const listed = (await stasis.applications())
        .map((application) => ({ application, status: application.status() }))
        .filter(({ status }) => options.all || !hasEnded(status))
        .reverse();
      const rows = listed.map(({ application, status }) => {
        const pid = status.state === 'running' ? status.pid : null;
        return {
          application,
          status,
          pid,
          processes: status.state === 'running' ? countProcesses(status.pid, status.supervised) : null,
          command: commandOf(application, pid),
          snapshot: snapshotOf(application, status),
        };
      });
      // Read once for all, and only if anybody is in an environment.
      const inside = listed.some(({ application }) => application.environment !== null);
      const sockets = inside ? hostSockets() : [];
      const ports = ({ application, pid }: (typeof rows)[number]) =>
        application.environment === null || pid === null ? [] : openPorts(application.environment, sockets);
      const now = Date.now();
      output.result(
        rows.map((row) => {
          const { application, processes, command, snapshot } = row;
          return { ...application.toJSON(), processes, command, snapshot, ports: ports(row) };
        }),
        table(
          ['NAME', 'ID', 'STATUS', 'PID', 'PROCESSES', 'AGE', ...(inside ? ['ADDRESS'] : []), 'SNAPSHOT', 'COMMAND'],
          rows.map((row) => {
            const { application, status, pid, processes, command, snapshot } = row;
            const place = application.environment;
            return [
              application.name,
              application.id,
              describeStatus(status, now),
              pid === null ? '-' : String(pid),
              processes === null ? '-' : String(processes),
              formatAge(now - application.createdAt.getTime()),
              ...(inside ? [place === null ? '-' : describePlace(place, ports(row))] : []),
              snapshot === null ? '-' : shorten(stasis.home, snapshot),
              command.join(' ') || '-',
            ];
          }),
        ),
      );
    }),
  );
}

/** What was asked for; for a restored application what its process says. */
function commandOf(application: Application, pid: number | null): readonly string[] {
  if (application.command.length > 0 || pid === null) return application.command;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

/** Where it was saved last, else where it came from. */
function snapshotOf(application: Application, status: ApplicationStatus): string | null {
  if (status.state === 'checkpointed') return status.snapshot;
  return application.lastCheckpoint?.snapshot ?? application.restoredFrom;
}

function shorten(home: string, path: string): string {
  return dirname(path) === join(home, 'snapshots') ? basename(path) : path;
}
