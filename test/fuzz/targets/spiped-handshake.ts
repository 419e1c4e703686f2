import { KeyError, LocalSpipedKeeper, PreSharedKey, type SpipedTurn } from '@keymux/keys';
import fc from 'fast-check';
import { DAMAGE, type Damage, damaged, hex, must, mustEqual } from '../checks.ts';
import { seeded } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  /** What happens to which message: the two nonces, then y_C || h_C, then y_S || h_S. */
  readonly message: number;
  readonly damage: readonly Damage[];
  /** The side's own message comes back instead. */
  readonly reflect: boolean;
}

const key = new PreSharedKey(seeded('spiped handshake')(32));

/** Both sides of a raw spiped handshake have the same keys if nothing was changed, and no two keys otherwise: who notices says so by KeyError. */
export const spipedHandshake = target<Case>({
  name: 'spiped-handshake',
  cases: fc.record({
    message: fc.nat(3),
    damage: fc.array(DAMAGE, { maxLength: 2 }),
    reflect: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
  }),
  check: async ({ message, damage, reflect }) => {
    const hit = Math.abs(message) % 4;
    let changed = false;
    const carry = (index: number, bytes: Uint8Array, own: Uint8Array): Uint8Array => {
      if (index !== hit) return bytes;
      const arrived = reflect ? own : damaged(bytes, damage);
      // What is awaited has a length, and no other number of bytes is ever handed in.
      const fitting = Buffer.alloc(bytes.length);
      Buffer.from(arrived).copy(fitting);
      changed = !fitting.equals(bytes);
      return Uint8Array.from(fitting);
    };
    const random = seeded(`${message}/${damage.length}`);
    const keeper = new LocalSpipedKeeper({ key, random });
    const client = await keeper.start('client');
    const server = await keeper.start('server');
    const nonceC = client.send as Uint8Array;
    const nonceS = server.send as Uint8Array;
    const served = await turn(server, carry(0, nonceC, nonceS));
    const asked = await turn(client, carry(1, nonceS, nonceC));
    const valueC = asked?.send ?? new Uint8Array(288);
    const answered = served && (await turn(served, carry(2, valueC, valueC)));
    const joined = asked && answered?.send && (await turn(asked, carry(3, answered.send, valueC)));
    const keys = [answered?.keys, joined?.keys].map((secret) => secret?.use((bytes) => hex(bytes)));
    if (changed) must(keys[0] === undefined || keys[0] !== keys[1], 'no two keys come of changed messages');
    else mustEqual(keys[0] !== undefined && keys[0] === keys[1], true, 'both have the same keys');
  },
  runs: 20,
});

/** The next turn; undefined if the message was refused. */
async function turn({ next }: SpipedTurn, message: Uint8Array): Promise<SpipedTurn | undefined> {
  try {
    return await next?.receive(message);
  } catch (error) {
    if (error instanceof KeyError && error.scope === 'session') return undefined;
    throw error;
  }
}
