import { ALGORITHM } from '@keymux/keys';
import fc from 'fast-check';
import { DAMAGE, type Damage, damaged, must, mustEqual, pick } from '../checks.ts';
import { decodeNego, encodeNego, type Link, link, METHODS, passEnvelope, type Side } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly method: number;
  readonly byServer: boolean;
  /** The run that is attacked is the one of the key's second generation. */
  readonly again: boolean;
  /** The message that does not arrive as it was sent, counted over both directions. */
  readonly message: number;
  readonly attack: number;
  readonly damage: readonly Damage[];
  readonly data: Uint8Array;
}

const ATTACKS = [
  'none',
  'damage',
  'damage of the data',
  'other data',
  'drop',
  'repeat',
  'reflect',
  'replay',
] as const;

/**
 * A run of any algorithm, begun by either side, with one message that somebody has changed, dropped, repeated, sent back or brought from before. Whoever is
 * shown something wrong says so by KeyError and nothing else, and no key that both sides hold comes of changed messages.
 */
export const handshake = target<Case>({
  name: 'handshake',
  cases: fc.record({
    method: fc.nat(METHODS.length - 1),
    byServer: fc.boolean(),
    again: fc.boolean(),
    message: fc.nat(3),
    attack: fc.nat(ATTACKS.length - 1),
    damage: fc.array(DAMAGE, { minLength: 1, maxLength: 2 }),
    data: fc.uint8Array({ maxLength: 120 }),
  }),
  check: async (input) => {
    const { algorithm, label, messages } = pick(METHODS, input.method) as (typeof METHODS)[number];
    const attack = pick(ATTACKS, input.attack) as (typeof ATTACKS)[number];
    const wire = link();
    const patient = [new Patience(wire.client), new Patience(wire.server)];
    const settle = async (): Promise<void> => {
      do await wire.run();
      while (patient.filter((side) => side.deliver()).length > 0);
    };
    const [initiator, responder] = input.byServer ? [wire.server, wire.client] : [wire.client, wire.server];
    const keyId = initiator.registry.negotiate({ algorithm, label, authority: '' });
    const again = input.again && algorithm !== ALGORITHM.PSK;
    let first = 0;
    if (again) {
      await settle();
      must(speak(initiator, responder, keyId) === 2, 'an honest run makes a key');
      first = wire.frames.length;
      initiator.registry.renegotiate(keyId);
    }
    let changed = false;
    const at = first + (Math.abs(input.message) % messages);
    wire.tamper = (frame, index) => {
      if (index !== at) return [frame];
      const sender = (index - first) % 2 === 0 ? initiator : responder;
      const arrives = attacked(wire, sender, frame, index, attack, input);
      changed = arrives.length !== 1 || Buffer.compare(arrives[0] as Uint8Array, frame) !== 0;
      return arrives;
    };
    await settle();
    for (const { failure } of [wire.client, wire.server])
      if (failure?.scope === 'session')
        mustEqual(failure.code, 'ERR_KEYMUX_KEY_FAILURE', 'the one error about keys');
    if (!changed) {
      mustEqual(
        [wire.client.failure, wire.server.failure],
        [undefined, undefined],
        'nobody complains of an honest run',
      );
      must(speak(initiator, responder, keyId) === 2, 'an honest run makes a key');
    } else if (attack === 'repeat') {
      const receiver = (at - first) % 2 === 0 ? responder : initiator;
      must(receiver.failure !== undefined, 'a message that comes twice is noticed');
    } else if (!again && attack !== 'drop') {
      must(speak(initiator, responder, keyId) < 2, 'no key comes of what was changed');
    }
  },
  runs: 40,
});

function attacked(
  wire: Link,
  sender: Side,
  frame: Uint8Array,
  index: number,
  attack: (typeof ATTACKS)[number],
  { damage, data }: Case,
): readonly Uint8Array[] {
  switch (attack) {
    case 'none':
      return [frame];
    case 'damage':
      return [damaged(frame, damage)];
    case 'damage of the data':
      return [rewritten(frame, damaged(decodeNego(frame).data, damage))];
    case 'other data':
      return [rewritten(frame, data)];
    case 'drop':
      return [];
    case 'repeat':
      return [frame, frame];
    case 'reflect':
      sender.receive(frame);
      return [];
    case 'replay':
      return [wire.frames[Math.max(0, index - 2)] ?? frame];
  }
}

function rewritten(frame: Uint8Array, data: Uint8Array): Uint8Array {
  return encodeNego({ ...decodeNego(frame), data: data.subarray(0, 8192) });
}

/** In how many directions an envelope opens. */
function speak(initiator: Side, responder: Side, keyId: number): number {
  // A responder may wait for the first envelope before it seals one itself.
  const ways = [
    [initiator, responder],
    [responder, initiator],
  ] as const;
  return ways.filter(([from, to]) => {
    try {
      return passEnvelope(from, to, keyId, 'words') === 'words';
    } catch {
      return false;
    }
  }).length;
}

/** Holds back what must not be received while a step is being computed, as a session does. */
class Patience {
  readonly #side: Side;
  readonly #receive: (bytes: Uint8Array) => void;
  #waiting: Uint8Array[] = [];

  constructor(side: Side) {
    this.#side = side;
    this.#receive = side.receive.bind(side);
    side.receive = (bytes) => this.#take(bytes);
  }

  #take(bytes: Uint8Array): void {
    if (this.#side.registry.busy(bytes[8] ?? 0)) this.#waiting.push(bytes);
    else this.#receive(bytes);
  }

  /** Returns whether there was something to receive. */
  deliver(): boolean {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const bytes of waiting) this.#take(bytes);
    return waiting.length > this.#waiting.length;
  }
}
