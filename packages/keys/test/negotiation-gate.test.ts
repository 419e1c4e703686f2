import { describe, expect, it } from 'vitest';
import { NegotiationGate } from '../src/index.ts';

const LIMITS = { runs: 10, runsPerClient: 4, keyWork: 100, keyWorkPerClient: 10 };

/** A gate whose time the test moves on, in milliseconds. */
function gateWith(limits: Partial<typeof LIMITS> = {}) {
  const time = { now: 0 };
  return { gate: new NegotiationGate({ ...LIMITS, ...limits }, () => time.now), time };
}

describe('runs in progress', () => {
  it('are bounded for each client, whatever the number of its sessions, and come back one by one', () => {
    const { gate } = gateWith();
    const passes = Array.from({ length: 4 }, () => gate.of('a').enter(false));
    expect(passes).not.toContain(undefined);
    expect(gate.of('a').enter(false)).toBeUndefined();
    expect(gate.of('b').enter(false)).toBeDefined();
    passes[0]?.leave();
    passes[0]?.leave(); // twice is once
    expect(gate.of('a').enter(false)).toBeDefined();
    expect(gate.of('a').enter(false)).toBeUndefined();
  });

  it('are bounded for all clients together', () => {
    const { gate } = gateWith();
    const passes = Array.from({ length: 10 }, (_, index) => gate.of(`client ${index}`).enter(false));
    expect(passes).not.toContain(undefined);
    expect(gate.of('late').enter(false)).toBeUndefined();
    passes[3]?.leave();
    expect(gate.of('late').enter(false)).toBeDefined();
  });
});

describe('other limits', () => {
  it('hold at once, for clients that are known too; runs in progress are let end', () => {
    const { gate, time } = gateWith({ runsPerClient: 2 });
    const passes = [gate.of('a').enter(false), gate.of('a').enter(true)];
    gate.reconfigure({ ...LIMITS, runsPerClient: 1, keyWorkPerClient: 1 });
    expect(gate.of('a').enter(false)).toBeUndefined();
    passes[0]?.spend(8);
    passes[0]?.leave();
    expect(gate.of('a').enter(false)).toBeUndefined(); // it had eighty, and has eight
    time.now += 1_000;
    expect(gate.of('a').enter(false)).toBeDefined();
    gate.reconfigure({ ...LIMITS, runs: 1 });
    expect(gate.of('b').enter(false)).toBeUndefined();
    expect(gate.of('b').enter(true)).toBeUndefined();
  });
});

describe('work', () => {
  /** As many runs of so many tokens as a client gets, one after the other. */
  const runs = (gate: NegotiationGate, client: string, tokens: number, renegotiation = false): number => {
    for (let count = 0; ; count++) {
      const pass = gate.of(client).enter(renegotiation);
      if (pass === undefined) return count;
      pass.spend(tokens);
      pass.leave();
    }
  };

  it('is bounded for each client by eight seconds at once and its rate after that', () => {
    const { gate, time } = gateWith();
    expect(runs(gate, 'a', 1)).toBe(80);
    expect(runs(gate, 'b', 1)).toBe(80);
    time.now += 1_000;
    expect(runs(gate, 'a', 1)).toBe(10);
    time.now += 3_600_000;
    expect(runs(gate, 'a', 1)).toBe(80);
  });

  it('that costs more is had less often', () => {
    const { gate, time } = gateWith();
    expect(runs(gate, 'a', 4)).toBe(20);
    time.now += 1_000;
    expect(runs(gate, 'a', 4)).toBe(3);
  });

  it('of what had begun is finished, and weighs on what comes later', () => {
    const { gate, time } = gateWith();
    const passes = Array.from({ length: 4 }, () => gate.of('a').enter(false));
    for (const pass of passes) pass?.spend(25);
    for (const pass of passes) pass?.leave();
    time.now += 1_900;
    expect(gate.of('a').enter(false)).toBeUndefined();
    time.now += 200;
    expect(gate.of('a').enter(false)).toBeDefined();
  });

  it('is bounded for all together', () => {
    const { gate } = gateWith({ keyWork: 20 });
    const counts = ['a', 'b', 'c'].map((client) => runs(gate, client, 1));
    expect(counts).toEqual([80, 80, 0]);
  });

  it('of renegotiations has a share of its own', () => {
    const { gate } = gateWith({ keyWork: 10 });
    expect(runs(gate, 'a', 1)).toBe(80);
    expect(runs(gate, 'b', 1)).toBe(0);
    expect(runs(gate, 'b', 1, true)).toBe(80);
  });
});

describe('turns', () => {
  it('spread work over the event loop: eight tokens in each', async () => {
    const { gate } = gateWith();
    const perTurn: number[] = [];
    let begun = 0;
    const steps = Array.from({ length: 20 }, () =>
      Promise.resolve(gate.of('a').turn(2)).then(() => {
        begun++;
      }),
    );
    for (let before = 0; before < 20; before = begun) {
      await new Promise(setImmediate);
      perTurn.push(begun - before);
    }
    await Promise.all(steps);
    for (const count of perTurn) expect(count).toBeLessThanOrEqual(8);
    expect(perTurn.length).toBeGreaterThanOrEqual(4);
  });

  it('go round: who has little waiting does not wait for who has much', async () => {
    const { gate } = gateWith();
    const order: string[] = [];
    const step = (client: string) =>
      Promise.resolve(gate.of(client).turn(8)).then(() => {
        order.push(client);
      });
    const flood = Array.from({ length: 50 }, () => step('flood'));
    await step('other');
    expect(order.length).toBeLessThan(6);
    await Promise.all(flood);
  });
});
