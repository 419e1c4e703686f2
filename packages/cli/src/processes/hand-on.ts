import { handleOf, type Movable, type MuxSession } from '@keymux/streams';

/** Whether a session has ended here because it goes on in another process. */
export function isHandedOver(error: Error | undefined): boolean {
  return (error as { code?: unknown } | undefined)?.code === 'ERR_KEYMUX_HANDED_OVER';
}

/** Whether its carrier can go to another process: WebSocket has a state of its own. */
export function canBeHandedOn({ carrier }: MuxSession): boolean {
  return handleOf(carrier) !== undefined;
}

/**
 * Calls `pass` as soon as there is something to do for a new session: a key was negotiated, or a stream opened. Streams are not told of until then, nor here. If
 * `pass` rejects and the session is still here, it goes on here.
 */
export function handOn(session: MuxSession, pass: () => Promise<void>): void {
  if (!canBeHandedOn(session)) return;
  session.holdStreams();
  const begin = (): void => {
    session.off('held', begin).off('key', begin);
    pass().catch(() => session.tellStreams());
  };
  session.on('held', begin).on('key', begin);
}

/** As new: its client may have too many (`takeOver`, limited). */
export function asNew(movable: Movable): Movable {
  return {
    kind: `new ${movable.kind}`,
    get sockets() {
      return movable.sockets;
    },
    ready: (signal) => movable.ready(signal),
    handOver: (name, placeOf) => movable.handOver(name, placeOf),
    stay: () => movable.stay(),
  };
}
