import { RST } from '@keymux/frames';
import { keyGone } from './errors.ts';
import type { Sender } from './sender.ts';
import { removeStream, type SessionState } from './state.ts';

/** Tells the peer the session window that a key begins with (spec 10.4). */
export function raiseKeyWindow({ windows }: SessionState, sender: Sender, keyId: number): void {
  const delta = windows.receive(keyId).tell();
  if (delta > 0) sender.ofKey(keyId, { type: 'window-update', streamId: 0, delta });
}

/**
 * Ends a key, its run if there is one in progress, and every stream that is bound to it; nothing else (spec 10.3). Returns false if the
 * key is not known.
 */
export function dropKey(state: SessionState, keyId: number, status: number): boolean {
  const authority = state.keys?.info(keyId)?.authority;
  if (!state.keys?.drop(keyId)) return false;
  const error = keyGone(keyId, authority, status);
  for (const stream of state.streams.values()) {
    if (![stream.openedUnder, stream.in.keyId, stream.out.keyId].includes(keyId)) continue;
    state.emit({
      type: 'reset',
      id: stream.id,
      status: RST.INTERNAL_ERROR,
      origin: 'remote',
      cause: error,
    });
    removeStream(state, stream);
  }
  state.hostKeys.delete(keyId);
  state.leavingKeys.delete(keyId);
  state.windows.forget(keyId);
  state.emit({ type: 'key-gone', keyId, error });
  return true;
}
