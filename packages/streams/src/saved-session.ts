import { StateReader, StateWriter } from '@keymux/frames';
import { type Role, UsageError } from '@keymux/session';

/** A session as another process has given it (spec 13.11): that of the engine, and behind it what its application side knows. */
export interface SavedSession {
  /** The blob of spec 13.2. */
  readonly engine: Uint8Array;
  readonly reader: StateReader;
}

const ROLES: readonly Role[] = ['client', 'server'];

export function handOverError(reason: string): UsageError {
  return new UsageError('ERR_KEYMUX_HAND_OVER', reason);
}

/** Both parts in one. They are wiped. */
export function joinSaved(role: Role, engine: Uint8Array, rest: StateWriter): Uint8Array {
  const writer = new StateWriter();
  const known = rest.finish();
  writer.u8(ROLES.indexOf(role));
  writer.bytes(engine);
  writer.bytes(known);
  engine.fill(0);
  known.fill(0);
  return writer.finish();
}

/** What `read` makes of both parts. The state is wiped, whatever comes of it. Throws UsageError `ERR_KEYMUX_HAND_OVER`. */
export function readSaved<T>(state: Uint8Array, role: Role, read: (saved: SavedSession) => T): T {
  let known: Uint8Array | undefined;
  try {
    const outer = new StateReader(state);
    if (ROLES[outer.u8(ROLES.length - 1)] !== role) throw outer.malformed(`it is not that of a ${role}`);
    const engine = outer.bytes();
    known = outer.bytes();
    outer.end();
    const reader = new StateReader(known);
    return read({ engine, reader });
  } catch (error) {
    throw error instanceof UsageError ? error : handOverError(reasonOf(error));
  } finally {
    state.fill(0);
    known?.fill(0);
  }
}

/** Errors of StateReader say nothing of what was read. Others may. */
function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: string };
  return code === 'ERR_KEYMUX_HAND_OVER' && message !== undefined
    ? message
    : 'the saved state of a session cannot be used: a field is not what it may be';
}
