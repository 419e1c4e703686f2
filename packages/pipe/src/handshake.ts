import type { Socket } from 'node:net';
import {
  type PacketOpener,
  type PacketSealer,
  packetKeys,
  type SpipedKeeper,
  type SpipedRole,
} from '@keymux/keys';
import { PipeError } from './errors.ts';

/** What seals and opens the packets of a connection. */
export interface Packets {
  readonly sealer: PacketSealer;
  readonly opener: PacketOpener;
}

/**
 * Carries the messages of spiped's handshake between keeper and socket (spec 11.3). Not a byte more is taken from the socket than the
 * handshake has. Rejects with KeyError or PipeError; the socket stays the caller's to close.
 */
export async function shakeHands(wire: Socket, role: SpipedRole, keeper: SpipedKeeper): Promise<Packets> {
  let turn = await keeper.start(role);
  for (let answered = 0; ; answered++) {
    if (turn.send !== undefined) wire.write(turn.send);
    if (turn.keys !== undefined) return packetKeys(turn.keys, role);
    const { next } = turn;
    try {
      turn = await next.receive(await readExactly(wire, next.bytes, (cause) => hungUp(answered, cause)));
    } finally {
      next.wipe();
    }
  }
}

/** The next `length` bytes of a socket. */
function readExactly(
  socket: Socket,
  length: number,
  hungUp: (cause: Error | null) => Error,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (bytes: Buffer | undefined): void => {
      socket.off('readable', attempt).off('end', gone).off('close', gone);
      if (bytes?.length === length) resolve(bytes);
      else reject(socket.errored instanceof PipeError ? socket.errored : hungUp(socket.errored));
    };
    const gone = (): void => settle(undefined);
    const attempt = (): void => {
      const bytes = socket.read(length) as Buffer | null; // all that there is, if the socket has ended
      if (bytes !== null) settle(bytes);
    };
    if (socket.destroyed || socket.readableEnded) return gone();
    socket.on('readable', attempt).on('end', gone).on('close', gone);
    attempt();
  });
}

/** `answered`: how many messages of the peer have come. Whether the peer then closes or resets the connection is the same to us. */
function hungUp(answered: number, cause: Error | null): PipeError {
  const options = cause === null ? {} : { cause };
  if (answered === 0) {
    return new PipeError(
      'ERR_KEYMUX_CARRIER_ENDED',
      'the peer closed the connection before the handshake; is it a spiped, with room for one more connection?',
      options,
    );
  }
  return new PipeError(
    'ERR_KEYMUX_KEY_FAILURE',
    'the peer ended the handshake, as spiped does when the keys differ; compare the key files of both sides',
    options,
  );
}
