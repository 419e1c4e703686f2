import { describe, expect, it } from 'vitest';
import { ALGORITHM, ANONYMOUS_LABEL, type ClientGate, type Keeper, KeyRegistry } from '../src/index.ts';
import { keeperOf, LABEL, Link, Side } from './link.ts';

/** A gate that lets all in, and notes what passes. */
function noting(turn: () => Promise<void> | undefined = () => undefined) {
  const noted: string[] = [];
  const gate: ClientGate = {
    enter(renegotiation) {
      noted.push(renegotiation ? 'enter again' : 'enter');
      return { spend: (tokens) => noted.push(`spend ${tokens}`), leave: () => noted.push('leave') };
    },
    turn(tokens) {
      noted.push(`turn ${tokens}`);
      return turn();
    },
  };
  return { gate, noted };
}

describe('a run that the peer begins', () => {
  it('waits for its turn with each step, pays for it, and leaves when it is over', async () => {
    const { gate, noted } = noting();
    const wire = new Link(
      new Side('client', keeperOf('client')),
      new Side('server', keeperOf('server'), { gate }),
    );
    wire.client.registry.negotiate({ algorithm: ALGORITHM.HYBRID, label: LABEL, authority: '' });
    await wire.run();
    expect(wire.server.established).toHaveLength(1);
    expect(noted).toEqual(['enter', 'turn 4', 'spend 4', 'leave']);
    wire.client.registry.renegotiate(1);
    await wire.run();
    expect(noted.slice(4)).toEqual(['enter again', 'turn 4', 'spend 4', 'leave']);
  });

  it('pays nothing for being rejected', async () => {
    const { gate, noted } = noting();
    const wire = new Link(
      new Side('client', keeperOf('client')),
      new Side('server', keeperOf('server', { anonymous: [] }), { gate }),
    );
    wire.client.registry.negotiate({
      algorithm: ALGORITHM.ANONYMOUS,
      label: ANONYMOUS_LABEL,
      authority: '',
    });
    await wire.run();
    expect(wire.client.rejections()).toHaveLength(1);
    expect(noted).toEqual(['enter', 'turn 1', 'leave']);
  });

  it('is not begun if it is over before its turn', async () => {
    let begin = (): void => undefined;
    const { gate, noted } = noting(
      () =>
        new Promise((resolve) => {
          begin = resolve;
        }),
    );
    const keeper = keeperOf('server');
    let asked = 0;
    const counting: Keeper = {
      algorithms: keeper.algorithms,
      start: (context, offer) => keeper.start(context, offer),
      accept: (context, first) => {
        asked++;
        return keeper.accept(context, first);
      },
      receive: (run, frame) => keeper.receive(run, frame),
      abandon: (run) => keeper.abandon(run),
    };
    const wire = new Link(new Side('client', keeperOf('client')), new Side('server', counting, { gate }));
    wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: LABEL, authority: '' });
    await wire.run();
    expect(noted).toEqual(['enter', 'turn 1']);
    wire.server.registry.drop(1);
    begin();
    await wire.run();
    expect(asked).toBe(0);
    expect(noted).toEqual(['enter', 'turn 1', 'leave']);
    expect(wire.server.failure).toBeUndefined();
  });
});

describe('a hand-over', () => {
  const negotiated = async (): Promise<KeyRegistry> => {
    const registry = new KeyRegistry({ role: 'client', keeper: keeperOf('client') });
    registry.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: LABEL, authority: '' });
    while (registry.poll()?.type !== 'send') await new Promise(setImmediate);
    return registry;
  };

  it('waits for the message of a run that was given up, and for nothing when it is sent', async () => {
    const registry = await negotiated();
    expect(registry.handOverObstacle).toMatch(/in progress/);
    registry.drop(1);
    expect(registry.handOverObstacle).toMatch(/a message of a negotiation has to be sent/);
    registry.sent(1, new Uint8Array(12), new Uint8Array(32));
    expect(registry.handOverObstacle).toBeUndefined();
  });

  it('does not wait for a REJECT to be sent', async () => {
    const wire = new Link(new Side('client', keeperOf('client')), new Side('server', keeperOf('server')));
    wire.client.registry.negotiate({ algorithm: ALGORITHM.PSK_X25519, label: LABEL, authority: '' });
    await wire.client.settle();
    const { registry } = new Side('server', keeperOf('server'), { maxPeerRuns: 0 });
    const [first] = wire.client.outbox as [Uint8Array];
    const { keyId, algorithm } = { keyId: 1, algorithm: ALGORITHM.PSK_X25519 };
    const frame = { keyId, algorithm, fin: true, reject: false, retire: false, data: first.subarray(12) };
    registry.receive(frame, first, new Uint8Array(32), 0);
    expect(registry.poll()).toMatchObject({ type: 'send', frame: { reject: true } });
    expect(registry.handOverObstacle).toBeUndefined();
  });
});
