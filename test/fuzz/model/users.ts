import { ALGORITHM, ANONYMOUS_LABEL, KeyError } from '@keymux/keys';
import { UsageError } from '@keymux/session';
import { HEADERS } from '../../support/scripted-peer.ts';
import { must, mustBeTyped, pick } from '../checks.ts';
import { AUTHORITIES, type End, LABEL } from './pair.ts';
import type { Move } from './play.ts';
import { type Flow, flowOf, type Stream, type World } from './world.ts';

const ALGORITHMS = [ALGORITHM.PSK_X25519, ALGORITHM.ANONYMOUS, ALGORITHM.PSK];

/** What commands may be refused with. */
const REFUSALS = new Set([
  ...['ERR_KEYMUX_NO_KEY', 'ERR_KEYMUX_SWITCH', 'ERR_KEYMUX_KEY_NEEDED', 'ERR_KEYMUX_GOING_AWAY'],
  'ERR_KEYMUX_STREAM_CLOSED',
  ...['ERR_KEYMUX_TOO_MANY_STREAMS', 'ERR_KEYMUX_KEY_USAGE', 'ERR_KEYMUX_KEY_EXHAUSTED', 'ERR_KEYMUX_FIN'],
]);

/** What the users of both sides do. The world is told of what the engine has accepted. */
export class Users {
  readonly #world: World;
  /** Bytes that a side has consumed, by side and stream. */
  readonly #consumed = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  open(end: End, { which, key, flag }: Move): void {
    const keyId = this.#world.keyOf(end, key);
    const outside = keyId !== 0 && flag && which % 3 === 0;
    const unidirectional = which % 7 === 5 && !outside;
    const id = this.#ask(() =>
      end.session.open(HEADERS, { keyId, payloadOutside: outside, unidirectional, priority: which % 8 }),
    );
    if (id === undefined) return;
    const flow = (): Flow => ({
      sent: Buffer.alloc(0),
      ended: false,
      undrained: false,
      key: 0,
      sealed: false,
    });
    const flows = new Map([end, this.#world.peerOf(end)].map((side) => [side, flow()]));
    const stream = {
      id,
      opener: end,
      outside,
      flows,
      accepted: false,
      replied: unidirectional,
      reset: false,
    };
    if (unidirectional) flowOf(stream, this.#world.peerOf(end)).ended = true;
    this.#world.streams.push(stream);
  }

  reply(end: End, { which, key, flag }: Move): void {
    const waiting = this.#world.streams.filter(
      ({ opener, accepted, replied, reset }) => opener !== end && accepted && !replied && !reset,
    );
    const stream = pick(waiting, which);
    if (stream === undefined) return;
    const keyId = key === 0 || stream.outside ? undefined : this.#world.keyOf(end, key);
    const fin = flag && !stream.outside;
    if (this.#ask(() => end.session.reply(stream.id, HEADERS, { fin, keyId }) ?? true)) {
      stream.replied = true;
      flowOf(stream, end).ended = fin;
    }
  }

  send(end: End, which: number, size: number): void {
    const stream = pick(this.#world.writable(end), which);
    if (stream === undefined) return;
    const flow = flowOf(stream, end);
    const bytes = Buffer.alloc(size % 200_000, `${flow.sent.length}.`);
    end.session.send(stream.id, bytes);
    flow.sent = Buffer.concat([flow.sent, bytes]);
    flow.undrained ||= bytes.length > 0;
  }

  headers(end: End, { which }: Move): void {
    const stream = pick(this.#world.writable(end), which);
    if (stream) end.session.headers(stream.id, [['x-more', 'y'.repeat(which)]]);
  }

  end(stream: Stream | undefined, end: End): void {
    if (stream === undefined) return;
    end.session.end(stream.id);
    flowOf(stream, end).ended = true;
  }

  reset(end: End, which: number): void {
    const known = this.#world.streams.filter(
      (stream) => !stream.reset && (stream.opener === end || stream.accepted),
    );
    const stream = pick(known, which);
    if (stream === undefined) return;
    end.session.reset(stream.id);
    stream.reset = true;
  }

  /** The side consumes a share of what it holds of each stream. */
  consume(end: End, share: number): void {
    for (const { id, reset, opener, accepted } of this.#world.streams) {
      if (reset || (opener !== end && !accepted)) continue;
      const name = `${end.role} ${id}`;
      const done = this.#consumed.get(name) ?? 0;
      const bytes = Math.min(1, share) * ((end.received.get(id)?.length ?? 0) - done);
      end.session.consume(id, Math.ceil(bytes));
      this.#consumed.set(name, done + Math.ceil(bytes));
    }
  }

  negotiate(end: End, { which, key }: Move): void {
    const { keys } = end;
    // A server waits for the announcement (spec 2.6).
    if (keys === undefined || (end === this.#world.server && !this.#world.announced.has(end))) return;
    const algorithm = pick(ALGORITHMS, which) as number;
    const authority = pick(AUTHORITIES, key) as string;
    const label = algorithm === ALGORITHM.ANONYMOUS ? ANONYMOUS_LABEL : LABEL;
    this.#ask(() => keys.negotiate({ algorithm, label, authority, now: 0 }));
    end.session.keysProgressed(0);
  }

  renegotiate(end: End, { key }: Move): void {
    const { keys } = end;
    const keyId = this.#world.keyOf(end, key);
    if (keys === undefined || keyId === 0) return;
    this.#ask(() => keys.renegotiate(keyId, 0));
    end.session.keysProgressed(0);
  }

  retire(end: End, { key, flag }: Move): void {
    const keyId = this.#world.keyOf(end, key);
    if (keyId !== 0 && flag) this.#ask(() => end.session.retireKey(keyId) ?? true);
  }

  switch(end: End, { which, key }: Move): void {
    const stream = pick(this.#world.writable(end), which);
    const keyId = this.#world.keyOf(end, key);
    if (stream !== undefined && keyId !== 0) this.#ask(() => end.session.switchKey(stream.id, keyId) ?? true);
  }

  /** Ends both directions; the answerer replies first if it has not. */
  endBoth(stream: Stream): void {
    const answerer = this.#world.peerOf(stream.opener);
    if (stream.reset) return;
    if (stream.accepted && !stream.replied) {
      answerer.session.reply(stream.id, HEADERS);
      stream.replied = true;
    }
    for (const end of this.#world.ends) if (this.#world.writable(end).includes(stream)) this.end(stream, end);
  }

  /** Moves to a key whatever the side sends, and ends it. */
  sealAndEnd(end: End): void {
    for (const stream of this.#world.writable(end)) {
      const keyId = this.#world.keyOf(end, 1);
      if (keyId !== 0) this.#ask(() => end.session.switchKey(stream.id, keyId) ?? true);
      this.#ask(() => this.end(stream, end) ?? true);
    }
  }

  /** What a command gives; undefined if it was refused, which keys, levels and limits may be reasons for. */
  #ask<T>(command: () => T): T | undefined {
    try {
      return command();
    } catch (error) {
      mustBeTyped(error);
      const refused = error instanceof UsageError || (error instanceof KeyError && error.scope === 'usage');
      must(
        refused && REFUSALS.has(error.code),
        `a command throws ${error.name} ${error.code}: ${error.message}`,
      );
      return undefined;
    }
  }
}
