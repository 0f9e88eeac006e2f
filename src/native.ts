// The addon: its functions as TypeScript sees them, and where it and its helper programs lie.
//
// The addon, `stasis-runtime` and `stasis-keeper` are built into one folder: build/Release in a checkout, prebuilds/linux-x64 in a packed
// package. node-gyp-build finds the addon there and the helpers are its neighbours.
//
// Rules of the place: nothing but src/ uses this file, and nothing in it is public. Arguments were checked by the caller: a wrong type
// here is a TypeError that names the field. Every other failure is an Error with the properties of NativeError;
// the caller makes a StasisError of it. Functions that return a promise do their work off the JavaScript thread; the others take
// microseconds. Start times are clock ticks since boot (field 22 of /proc/PID/stat) and fit a number.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a rejected promise or a throwing function carries. Properties that do not apply are absent. */
export interface NativeError extends Error {
  /** ErrorKind of native/base/error.h, as name_of gives it. */
  readonly kind:
    | 'FAILED'
    | 'USAGE'
    | 'UNSUPPORTED'
    | 'INCOMPATIBLE'
    | 'DAMAGED'
    | 'NOT_FOUND'
    | 'BUSY'
    | 'PERMISSION'
    | 'TIMEOUT'
    | 'CANCELLED';
  /** Positive, as errno(3). */
  readonly errno?: number;
  /** Its name: 'EADDRINUSE'. */
  readonly code?: string;
  readonly syscall?: string;
  readonly pid?: number;
  readonly tid?: number;
  readonly fd?: number;
  /** Hexadecimal with 0x, as are lengths in bytes. */
  readonly address?: string;
  readonly length?: string;
  readonly path?: string;
  /** Byte offset in a damaged file. */
  readonly offset?: number;
  readonly remedy?: string;
  /** One line per finding; empty for most errors. */
  readonly details: readonly string[];
}

/** Stops what was started with it. Opaque; of one use. */
export interface CancelToken {
  readonly [cancelTokenBrand]: true;
}
declare const cancelTokenBrand: unique symbol;

/** Descriptors of this process that become the application's 0, 1 and 2. */
export type StdioDescriptors = readonly [number, number, number];

/** What a stream is, as fstat(2) tells; device and inode as decimal text, since they may exceed 2^53. */
export interface StdioIdentity {
  readonly dev: string;
  readonly ino: string;
  /** S_IFMT bits of the mode. */
  readonly type: number;
}

export interface LaunchOptions {
  /** Path of stasis-keeper, absolute. */
  readonly keeper: string;
  /** Path of the runtime in the state directory, absolute. */
  readonly runtime: string;
  /** The application's directory in the state directory: status and control.sock are made there. */
  readonly directory: string;
  /** The program, looked up as execvp(3) does in `env`'s PATH and in `cwd`, and its arguments. */
  readonly command: readonly string[];
  /** The whole environment, each `NAME=value`. */
  readonly env: readonly string[];
  /** Working directory, absolute. */
  readonly cwd: string;
  readonly stdio: StdioDescriptors;
  /** Every id the program sees is the system's plus this; 0 or absent: ids are the system's. */
  readonly shiftIds?: number;
  /** Present: no call site of the program is rewritten. */
  readonly withoutFastPath?: true;
  /** NETWORK:HOST, its place in an environment; without one it has the host's addresses. */
  readonly place?: string;
  /** PROTOCOL,ADDRESS,PORT,PORT each: where a port of the environment can be reached. */
  readonly publish?: readonly string[];
  /** Until the program runs; 30000 if absent. */
  readonly timeoutMs?: number;
}

export type FilesPolicy = 'fail' | 'keep' | 'restore-content';

export interface RestoreOptions {
  readonly keeper: string;
  /** `runtimes` of the state directory: the image's runtime is put there if it is missing. */
  readonly runtimes: string;
  readonly directory: string;
  /** The image's directory. */
  readonly image: string;
  /** `verified` of the state directory; page files with a matching stamp there are not read. */
  readonly stamps: string;
  readonly stdio: StdioDescriptors;
  /** As for a launch, of processes that are born after the restore. */
  readonly shiftIds?: number;
  readonly withoutFastPath?: true;
  /** What happens where a file open for writing has changed; `fail` if absent. */
  readonly files?: FilesPolicy;
  /** Connections to who is not in the image are found reset. */
  readonly tcpClose?: true;
  /** Until the application goes on; 30000 if absent. */
  readonly timeoutMs?: number;
}

/** A foreground application: the keeper takes the place of this process, its descriptors 0, 1 and 2 are the application's. */
export type ForegroundOptions = Omit<LaunchOptions, 'stdio'> | Omit<RestoreOptions, 'stdio'>;

export interface Launched {
  readonly pid: number;
  readonly startTime: number;
  readonly keeperPid: number;
}

/** Microseconds since the restore began, at the end of each phase. */
export interface RestoreTimings {
  /** Image read, decoded and verified, plan laid down. */
  readonly prepared: number;
  /** The runtime runs in the new process. */
  readonly started: number;
  readonly mapped: number;
  readonly fds: number;
  readonly threads: number;
  readonly resumed: number;
  /** The keeper has said so. */
  readonly finished: number;
  /** Pages of the working set that were populated before the program went on. */
  readonly populatedPages: number;
}

export interface Restored extends Launched {
  readonly timings: RestoreTimings;
  /** What the application has not as it was, a sentence each. */
  readonly warnings: readonly string[];
  /** mmap calls made for the image. */
  readonly mapCalls: number;
}

/** A restore that has begun and makes everything ready, but waits for a word before the application comes into being. */
export interface BegunRestore {
  readonly done: Promise<Restored>;
  proceed(): void;
  /** Instead of proceed: `done` is rejected with kind CANCELLED, or with what had failed, once no process is left. */
  abandon(): void;
}

export interface CheckpointOptions {
  readonly pid: number;
  readonly startTime: number;
  /** Written first; must not exist. Left for the caller to remove on failure. */
  readonly partial: string;
  /** `partial` is renamed to this when it is complete. Absolute. */
  readonly destination: string;
  /** `verified` of the state directory. */
  readonly stamps: string;
  /** The application's control socket, told of the checkpoint before the application is ended. */
  readonly controlSocket: string;
  /** The streams the application was started with: an image says of these that they are the restorer's to give. */
  readonly stdio: readonly [StdioIdentity, StdioIdentity, StdioIdentity];
  readonly leaveRunning: boolean;
  /** Bytes that copies of the processes may come to use; absent: half of what is available. */
  readonly maxCopy?: number;
  /** Bytes up to which the content of a file open for writing is stored; absent: none is. */
  readonly saveFiles?: number;
  readonly tcpClose?: boolean;
  readonly tcpEstablished?: boolean;
  /** The program that holds connections which are kept. */
  readonly keeper: string;
  /** The caller's time for the whole, which it enforces with the token; here it bounds how long the threads may take to stop. */
  readonly timeoutMs: number;
}

export interface CheckpointOutcome {
  /** From the first thread stopped to the application going on (or its end). */
  readonly pauseUs: number;
  readonly totalUs: number;
  readonly processes: number;
  readonly threads: number;
  readonly mappings: number;
  /** Bytes of the page files. */
  readonly pageBytes: number;
  /** Bytes of image.stasis. */
  readonly imageBytes: number;
  readonly leftRunning: boolean;
  /** The pages were read from copies of the processes, and not during the pause. */
  readonly copied: boolean;
  /** What a restored application will not have as it is, a sentence each. */
  readonly warnings: readonly string[];
}

/** A kernel feature that Stasis uses. */
export interface Feature {
  readonly name: string;
  readonly available: boolean;
  /** Without it nothing works; otherwise something is slower or refused. */
  readonly required: boolean;
  readonly usedFor: string;
  /** What was found, or why it is missing. */
  readonly detail: string;
  readonly remedy: string;
}

export interface InspectOptions {
  readonly format: 'json' | 'text' | 'header';
  /** Reads every page file and compares checksums before anything is said. */
  readonly verify?: boolean;
}

/** An flock(2) that this process holds. */
export interface NativeLock {
  /** Also done when the process ends. A second call does nothing. */
  release(): void;
}

export interface Addon {
  readonly version: string;

  /** Starts a program under a detached keeper. Fulfilled once the program runs; on an error no process and no file is left behind. */
  launch(options: LaunchOptions): Promise<Launched>;
  /** Never returns: this process becomes the keeper of a foreground application. Throws when it cannot; then nothing has changed. */
  becomeKeeper(options: ForegroundOptions): never;
  /** Rebuilds an application from an image under a detached keeper. All or nothing. One of the two words must follow. */
  restore(options: RestoreOptions): BegunRestore;

  /** Writes an image of a running application, on a thread of its own. Rejected, the application goes on unharmed. */
  checkpoint(options: CheckpointOptions, token?: CancelToken): Promise<CheckpointOutcome>;
  cancelToken(): CancelToken;
  /** What was started with the token is rejected with kind CANCELLED soon; nothing happens if it has ended. */
  cancel(token: CancelToken): void;

  /** The image as text: every record as JSON, or for people; or its header as JSON. */
  inspect(directory: string, options: InspectOptions): Promise<string>;
  /** Reads everything and compares it with the checksums; fulfilled if the image is whole. */
  verify(directory: string): Promise<void>;
  /** What this host offers. */
  probe(): Promise<readonly Feature[]>;

  /** Every id that the application of this process knows, by kind and number. INCOMPATIBLE or DAMAGED for a table that cannot be read. */
  ids(pid: number, startTime: number): Promise<readonly ResourceId[]>;

  /** Whether the process lives; false for a zombie and for another process of that pid. */
  process(pid: number, startTime: number): boolean;
  /** Sends a signal by pidfd, so that it never reaches another process of that pid. */
  signal(pid: number, startTime: number, signal: number): void;
  /** Fulfilled with true when the process has ended, with false when `timeoutMs` passed first. Without a time-out it waits for ever. */
  waitEnd(pid: number, startTime: number, timeoutMs?: number, token?: CancelToken): Promise<boolean>;

  /** One line to a keeper's control socket, and its answer. Paths of any length. NOT_FOUND where nobody listens. */
  request(socket: string, line: string, timeoutMs: number, token?: CancelToken): Promise<string>;

  /** flock(2) without waiting, on a file that is created if it is missing. BUSY if another holds it. */
  lock(path: string): NativeLock;
  /** GNU build id of an ELF file, hexadecimal. */
  buildId(file: string): string;
}

/** One entry of an application's translation table. */
export interface ResourceId {
  readonly kind:
    | 'process'
    | 'thread'
    | 'group'
    | 'session'
    | 'shared-memory'
    | 'semaphores'
    | 'message-queue'
    | 'timer'
    | 'tcp-port'
    | 'udp-port'
    | 'address'
    | 'path';
  /** As the application knows it. */
  readonly virtual: number;
  /** The system's; null for an id without one. */
  readonly system: number | null;
  /** The application's id of the process it belongs to, null if it belongs to all or the process is gone. */
  readonly owner: number | null;
  /**
   * `live`; `ended`: its number stays the application's for a while; `known`: of before a restore, never given to anybody else; `foreign`:
   * of a process outside; `identity`: the application has no table, and its ids are the system's.
   */
  readonly state: 'live' | 'ended' | 'known' | 'foreign' | 'identity';
}

export interface HelperPrograms {
  readonly runtime: string;
  readonly keeper: string;
}

interface Loaded {
  readonly addon: Addon;
  readonly helpers: HelperPrograms;
}

interface NodeGypBuild {
  (directory: string): Addon;
  resolve(directory: string): string;
}

let loaded: Loaded | undefined;

function load(): Loaded {
  if (loaded === undefined) {
    const root = dirname(dirname(fileURLToPath(import.meta.url)));
    const nodeGypBuild = createRequire(import.meta.url)('node-gyp-build') as NodeGypBuild;
    const folder = dirname(nodeGypBuild.resolve(root));
    loaded = {
      addon: nodeGypBuild(root),
      helpers: { runtime: join(folder, 'stasis-runtime'), keeper: join(folder, 'stasis-keeper') },
    };
  }
  return loaded;
}

/** The addon, loaded at the first call, so that commands which only read files start without it. */
export function native(): Addon {
  return load().addon;
}

/** The helper programs that belong to the addon. */
export function helperPrograms(): HelperPrograms {
  return load().helpers;
}
