// The public face of the package: exports only.

export { Application, type RemoveOptions, type WaitForEndOptions } from './application/application.js';
export type { ApplicationEvent, ApplicationSubject } from './application/events.js';
export type { RunOptions } from './application/launch.js';
export type { LogChunk, LogOptions } from './application/logs.js';
export type { Stdio, Stream } from './application/stdio.js';
export type { HostReport } from './check/check.js';
export type { PublishedPort } from './environment/publish.js';
export type { EnvironmentPlace } from './environment/registry.js';
export { type ErrorSubject, StasisError, type StasisErrorCode, type StasisErrorOptions } from './errors.js';
export type { Feature, FilesPolicy, ResourceId, RestoreTimings } from './native.js';
export type { CheckpointOptions } from './snapshot/checkpoint.js';
export type { RestoreOptions } from './snapshot/restore.js';
export { type CheckpointStatistics, Snapshot } from './snapshot/snapshot.js';
export { type OpenOptions, Stasis } from './stasis.js';
export type { ApplicationStatus, Ending } from './store/status.js';
