import { Secret, type SpipedTurn } from '@keymux/keys';
import type { KeeperConnection, Received } from './keeper-connection.ts';

/** A turn of a handshake of spiped that is made behind `connection`. */
export function remoteTurn(connection: KeeperConnection, answer: Received<'turn'>): SpipedTurn {
  const { head, secrets, data } = answer;
  const { run, awaits } = head;
  const send = data.length > 0 ? { send: data } : {};
  const [keys] = secrets;
  if (keys !== undefined) return { ...send, keys: Secret.take(keys) };
  let asked = false;
  const next = {
    bytes: awaits,
    receive: async (message: Uint8Array) => {
      asked = true;
      return remoteTurn(connection, await connection.ask('turn', { type: 'receive', run }, message));
    },
    wipe: (): void => {
      if (!asked) connection.abandon(run);
      asked = true;
    },
  };
  return { ...send, next };
}
