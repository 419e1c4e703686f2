import { FrameError, StateReader, StateWriter } from '@keymux/frames';
import { PEER_FLOW_CONTROL, type SessionConfig, sessionConfig } from './config.ts';
import { UsageError } from './errors.ts';
import type { KeyPort, RunningHash } from './key-port.ts';
import type { ResumeHash } from './saved-hash.ts';
import type { Role, SessionState } from './state.ts';
import type { WindowShare } from './window-growth.ts';

/** What `freeze` has to be told. */
export interface FreezeOptions {
  /** 16 random bytes that name this hand-over: whoever takes blobs takes none of the same name twice (spec 13.9). */
  readonly id: Uint8Array;
  /** What `output` has handed out and the carrier has not taken, in order. */
  readonly unsent?: readonly Uint8Array[];
  readonly now: number;
}

/** What `thaw` has to be told. */
export interface ThawOptions {
  /** Of these only what is a matter of this side alone holds; what the peer was told of goes along (spec 13.6). */
  readonly config?: Partial<SessionConfig> | undefined;
  /** Goes on with the keys; needed for a session that has keys, as is what follows. */
  readonly loadKeys?: ((reader: StateReader) => KeyPort) | undefined;
  readonly createHash?: (() => RunningHash) | undefined;
  /** Goes on with what was made by `createHash` of the giver. */
  readonly resumeHash?: ResumeHash | undefined;
  /** Lets the windows of streams grow; what has grown already is taken from it. */
  readonly windowShare?: WindowShare | undefined;
  /** Now, in milliseconds of any monotonic clock. */
  readonly now: number;
}

/** What the peer was told, and what is known by it for as long as the session lasts. */
export interface Told {
  readonly role: Role;
  readonly config: Pick<SessionConfig, ToldField | 'peerFlowControl'>;
}

type ToldField = (typeof TOLD_FIELDS)[number];
const TOLD_FIELDS = [
  'streamWindow',
  'sessionWindow',
  'maxConcurrentStreams',
  'switchLimit',
  'algorithms',
  'depth',
] as const;

const ROLES: readonly Role[] = ['client', 'server'];

const MAGIC = Uint8Array.from('keymux/1 session', (char) => char.charCodeAt(0));
/** Of the format (spec 13.2). Whatever changes in any section makes another one. */
const VERSION = 2;
const ID_LENGTH = 16;

/** Sections (spec 13.2), in their order. The first two are read before there is a session. */
export const SECTION = { TOLD: 1, KEYS: 2, STATE: 3, SENDER: 4, RECEIVER: 5, SESSION: 6 } as const;

export function handOverError(reason: string): UsageError {
  return new UsageError('ERR_KEYMUX_HAND_OVER', reason);
}

/** The blob of a session, of whose sections `write` makes those behind its keys. If that throws, nothing of it stays behind. */
export function writeBlob(
  id: Uint8Array,
  { role, config, keys }: SessionState,
  write: (writer: StateWriter) => void,
): Uint8Array {
  if (id.length !== ID_LENGTH) throw handOverError(`the name of a hand-over has ${ID_LENGTH} bytes`);
  const writer = new StateWriter();
  try {
    writer.raw(MAGIC);
    writer.u16(VERSION);
    writer.raw(id);
    writer.section(SECTION.TOLD, () => saveTold(writer, role, config));
    writer.section(SECTION.KEYS, () => writer.optional(keys, (port) => port.save(writer)));
    write(writer);
    return writer.finish();
  } catch (error) {
    writer.wipe();
    throw error;
  }
}

/**
 * What `read` makes of the blob, from the sections behind the keys on. It is wiped, whatever comes of it: it is good for one attempt. Throws
 * UsageError `ERR_KEYMUX_HAND_OVER`; then the keys are closed.
 */
export function readBlob<T>(
  blob: Uint8Array,
  loadKeys: ThawOptions['loadKeys'],
  read: (reader: StateReader, told: Told, keys: KeyPort | undefined) => T,
): T {
  let keys: KeyPort | undefined;
  try {
    const reader = new StateReader(blob);
    readHead(reader);
    const told = reader.section(SECTION.TOLD, () => loadTold(reader));
    reader.section(SECTION.KEYS, () => {
      keys = reader.optional(() => readKeys(reader, loadKeys));
    });
    const made = read(reader, told, keys);
    reader.end();
    return made;
  } catch (error) {
    keys?.close();
    throw unusable(error);
  } finally {
    blob.fill(0);
  }
}

/** The name of a hand-over, without looking at the rest. Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
export function handOverId(blob: Uint8Array): Uint8Array {
  try {
    return readHead(new StateReader(blob));
  } catch (error) {
    throw unusable(error);
  }
}

/** Errors of StateReader say nothing of what was read. Others may, and what was read may be a piece of a key: they are left behind. */
function unusable(error: unknown): UsageError {
  if (error instanceof UsageError) return error;
  const known = error instanceof FrameError && error.code === 'ERR_KEYMUX_HAND_OVER';
  return handOverError(
    known ? error.message : 'the saved state of a session cannot be used: a field is not what it may be',
  );
}

function readHead(reader: StateReader): Uint8Array {
  const magic = reader.raw(MAGIC.length);
  if (magic.some((byte, index) => byte !== MAGIC[index])) {
    throw handOverError('this is no state of a session, or one that somebody has taken already');
  }
  const version = reader.u16();
  if (version !== VERSION) {
    throw handOverError(
      `the state is of version ${version}, and ${VERSION} is known here; let the process that has the session end it`,
    );
  }
  return reader.raw(ID_LENGTH);
}

function readKeys(reader: StateReader, loadKeys: ThawOptions['loadKeys']): KeyPort {
  if (loadKeys !== undefined) return loadKeys(reader);
  throw reader.malformed('it has keys, and nothing here goes on with them');
}

function saveTold(writer: StateWriter, role: Role, config: SessionConfig): void {
  writer.u8(ROLES.indexOf(role));
  for (const field of TOLD_FIELDS) writer.u32(config[field]);
  writer.u8(PEER_FLOW_CONTROL.indexOf(config.peerFlowControl));
}

function loadTold(reader: StateReader): Told {
  const role = ROLES[reader.u8(ROLES.length - 1)] as Role;
  const fields = Object.fromEntries(TOLD_FIELDS.map((field) => [field, reader.u32()])) as Record<
    ToldField,
    number
  >;
  const peerFlowControl = PEER_FLOW_CONTROL[
    reader.u8(PEER_FLOW_CONTROL.length - 1)
  ] as (typeof PEER_FLOW_CONTROL)[number];
  const config = { ...fields, peerFlowControl };
  try {
    sessionConfig(config);
    return { role, config };
  } catch {
    throw reader.malformed('what the peer was told is out of its range');
  }
}
