import { SETTING } from '@keymux/frames';
import { UsageError } from '@keymux/session';
import fc from 'fast-check';
import { HEADERS, ScriptedPeer } from '../../support/scripted-peer.ts';
import { must, mustEqual, pick } from '../checks.ts';
import { target } from '../target.ts';

interface Step {
  readonly act: number;
  readonly stream: number;
  readonly value: number;
  readonly priority: number;
}

const SIZES = [0, 1, 65_535, 65_536, 65_537, 2 ** 31 - 65_537, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const MOST = 2 ** 31 - 1;

const step: fc.Arbitrary<Step> = fc.record({
  act: fc.nat(11),
  stream: fc.nat(4),
  value: fc.oneof(fc.nat(SIZES.length - 1), fc.integer({ min: 1000, max: 300_000 })),
  priority: fc.nat(7),
});

/**
 * SETTINGS, WINDOW_UPDATE and GOAWAY of any values, against a naive account of all windows: payload is sent as far as they allow and no further, an overflow
 * ends what it belongs to and nothing else, and once windows are open everything goes out.
 */
export const windows = target<{ steps: readonly Step[] }>({
  name: 'windows',
  cases: fc.record({ steps: fc.array(step, { maxLength: 40 }) }),
  check: ({ steps }) => {
    const account = new Account();
    for (const step of steps) {
      account.step(step);
      if (account.over) return;
    }
    account.finish();
  },
  runs: 100,
});

interface Line {
  left: number;
  queued: number;
  seen: number;
}

class Account {
  readonly #peer = new ScriptedPeer({ role: 'client' });
  readonly #streams = new Map<number, Line>();
  #initial = 65_536;
  #session = 65_536;
  #lastGood = Number.POSITIVE_INFINITY;
  over = false;

  step({ act, stream, value, priority }: Step): void {
    const { session } = this.#peer;
    const size = SIZES[value] ?? Math.abs(value);
    const id = [...this.#streams.keys()][Math.abs(stream) % Math.max(1, this.#streams.size)];
    switch (Math.abs(act) % 12) {
      case 0:
      case 1:
        this.#open(Math.abs(priority) % 8);
        return;
      case 2:
      case 3:
      case 4: {
        const line = this.#streams.get(id ?? 0);
        if (line === undefined || id === undefined) return;
        const bytes = size % 400_000;
        session.send(id, new Uint8Array(bytes));
        line.queued += bytes;
        return;
      }
      case 5:
        this.#settings(size);
        return;
      case 6:
      case 7:
        if (id !== undefined) this.#grant(id, size % 2 ** 31);
        return;
      case 8:
        this.#grantSession(size % 2 ** 31);
        return;
      case 9:
        if (id === undefined || size % 5 !== 0) return;
        session.reset(id);
        this.#streams.delete(id);
        return;
      case 10:
        if (size % 7 === 0) this.#goaway(stream);
        return;
      default:
        this.#look(pick([1, 1000, 100_000, 1_000_000], value));
    }
  }

  /** Opens all windows and sees that nothing is held back. */
  finish(): void {
    if (this.#initial > MOST - 65_536) return;
    for (let round = 0; round < 200; round++) {
      this.#look(undefined);
      const lacking = [...this.#streams].filter(([, line]) => line.seen < line.queued);
      if (lacking.length === 0) break;
      must(round < 199, `payload of ${lacking.length} streams is held back`);
      for (const [id, line] of lacking) if (line.left < 100_000) this.#grant(id, 200_000);
      if (this.#session < 100_000) this.#grantSession(200_000);
    }
    mustEqual(this.#peer.session.error, undefined, 'the session is well');
  }

  #open(priority: number): void {
    try {
      const id = this.#peer.session.open(HEADERS, { priority });
      must(this.#lastGood === Number.POSITIVE_INFINITY, 'no stream is opened after GOAWAY');
      this.#streams.set(id, { left: this.#initial, queued: 0, seen: 0 });
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      mustEqual(error.code, 'ERR_KEYMUX_GOING_AWAY', 'why no stream can be opened');
    }
  }

  #settings(size: number): void {
    this.#look(undefined);
    const entry = { id: SETTING.INITIAL_WINDOW_SIZE, value: size, flags: 0 };
    this.#peer.sends({ type: 'settings', clear: false, entries: [entry] });
    const change = size - this.#initial;
    const tooLarge = size > MOST || [...this.#streams.values()].some(({ left }) => left + change > MOST);
    this.#expectEnd(tooLarge, 7);
    this.#initial = size;
    for (const line of this.#streams.values()) line.left += change;
  }

  #grant(id: number, delta: number): void {
    this.#look(undefined); // so that the peer speaks of a stream that it knows
    const line = this.#streams.get(id);
    if (line === undefined) return;
    if (delta > 0) this.#peer.sends({ type: 'window-update', streamId: id, delta });
    if (delta === 0) return;
    line.left += delta;
    const reset = this.#peer.events.splice(0).find((event) => event.type === 'reset');
    mustEqual(reset?.type === 'reset' ? reset.status : 0, line.left > MOST ? 7 : 0, 'how an overflow ends');
    if (line.left > MOST) this.#streams.delete(id);
    mustEqual(this.#peer.session.error, undefined, 'it ends the stream alone');
  }

  #grantSession(delta: number): void {
    if (delta === 0) return;
    this.#look(undefined);
    this.#peer.sends({ type: 'window-update', streamId: 0, delta });
    this.#session += delta;
    this.#expectEnd(this.#session > MOST, 7);
  }

  #goaway(last: number): void {
    this.#look(undefined);
    this.#peer.sends({ type: 'goaway', lastGoodId: last, status: 0 });
    this.#lastGood = Math.min(this.#lastGood, last);
    for (const id of this.#streams.keys()) if (id > this.#lastGood) this.#streams.delete(id);
    mustEqual(
      this.#peer.session.streamCount,
      this.#streams.size,
      'streams beyond the last good one are over',
    );
  }

  #expectEnd(expected: boolean, status: number): void {
    mustEqual(this.#peer.session.error?.status, expected ? status : undefined, 'the end of the session');
    this.over = expected;
  }

  /** Takes output and counts what is in it. */
  #look(most: number | undefined): void {
    for (const frame of this.#peer.sees(most)) {
      if (frame.type !== 'data') continue;
      const { length } = frame as unknown as { length: number; streamId: number };
      const line = this.#streams.get(frame.streamId as number);
      this.#session -= length;
      must(length === 0 || this.#session >= 0, `the session window is exceeded by ${-this.#session}`);
      if (line === undefined) continue; // it was reset on this side before
      line.left -= length;
      line.seen += length;
      must(
        length === 0 || line.left >= 0,
        `the window of stream ${frame.streamId} is exceeded by ${-line.left}`,
      );
      must(line.seen <= line.queued, 'nothing is sent twice');
    }
    this.#peer.events.splice(0);
  }
}
