import { encodeControl, encodeDataHead } from '@keymux/frames';
import { ALGORITHM, ANONYMOUS_LABEL, KeyError, type KeyLogEntry } from '@keymux/keys';
import { type SessionEvent, UsageError } from '@keymux/session';
import fc from 'fast-check';
import { recordNonces } from '../support/nonces.ts';
import { HEADERS } from '../support/scripted-peer.ts';
import { CUTS, cut, DAMAGE, type Damage, damaged, must, mustBeTyped, mustEqual, pick } from './checks.ts';
import { AUTHORITIES, End, LABEL } from './pair.ts';

/**
 * Two engines with real keys, over a carrier that cuts, joins and delays bytes, and a model that knows nothing of frames: what was sent on a stream arrives, in
 * order, once; what was ended ends; windows hold; keys have their levels; nothing is left over.
 */

export interface Play {
  readonly keys: boolean;
  /** How many keys there are at the beginning, for the peer and for its host in turn. */
  readonly ready: number;
  readonly window: number;
  readonly padding: boolean;
  readonly steps: readonly Move[];
}

export interface Move {
  readonly act: number;
  readonly server: boolean;
  readonly which: number;
  readonly key: number;
  readonly size: number;
  readonly flag: boolean;
  readonly cuts: readonly number[];
  readonly damage: readonly Damage[];
}

const ALGORITHMS = [ALGORITHM.PSK_X25519, ALGORITHM.ANONYMOUS, ALGORITHM.PSK];
/** Acts from this one on are an attacker's. */
const ATTACK = 30;

export function plays(attacks: boolean): fc.Arbitrary<Play> {
  const move: fc.Arbitrary<Move> = fc.record({
    act: attacks
      ? fc.oneof({ weight: 12, arbitrary: fc.nat(ATTACK - 1) }, { weight: 1, arbitrary: fc.constant(ATTACK) })
      : fc.nat(ATTACK - 1),
    server: fc.boolean(),
    which: fc.nat(20),
    key: fc.nat(4),
    size: fc.oneof(fc.nat(50), fc.nat(5000), fc.nat(150_000)),
    flag: fc.boolean(),
    cuts: CUTS,
    damage: attacks ? fc.array(DAMAGE, { minLength: 1, maxLength: 1 }) : fc.constant([]),
  });
  return fc.record({
    keys: attacks
      ? fc.constant(true)
      : fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
    ready: fc.nat(3),
    window: fc.nat(30_000),
    padding: fc.boolean(),
    steps: fc.array(move, { maxLength: 60 }),
  });
}

/** What one side has sent on a stream. */
interface Flow {
  sent: Buffer;
  ended: boolean;
  /** Something was written and `drain` has not come. */
  undrained: boolean;
  /** The key that the receiver has been told of; 0 for none. */
  key: number;
  /** Whether the direction has been sealed from its first frame on. */
  sealed: boolean;
}

interface Stream {
  readonly id: number;
  readonly opener: End;
  readonly outside: boolean;
  readonly flows: Map<End, Flow>;
  accepted: boolean;
  replied: boolean;
  reset: boolean;
}

export class Model {
  readonly #client: End;
  readonly #server: End;
  readonly #streams: Stream[] = [];
  readonly #consumed = new Map<string, number>();
  /** Keys that a side can seal with, as it has heard. */
  readonly #usable = new Map<End, Set<number>>();
  readonly #announced = new Set<End>();
  readonly #attacked: boolean;
  #failed = false;

  constructor({ keys, window, padding }: Play, attacked: boolean) {
    const size = 65_536 + (Math.abs(window) % 100_000);
    const config = { streamWindow: size, sessionWindow: size, switchLimit: 65_536, maxConcurrentStreams: 8 };
    const keyLog: KeyLogEntry[] = [];
    this.#client = new End('client', keys, config, keyLog);
    this.#server = new End('server', keys, { ...config, padding: padding ? 'padme' : 'none' }, keyLog);
    this.#attacked = attacked;
    for (const end of this.#ends) this.#usable.set(end, new Set());
  }

  /** Plays all steps. Throws Fault, or what an engine throws that it never may. */
  static async play(play: Play, attacked: boolean): Promise<void> {
    const steps: (() => unknown)[] = [];
    const nonces = recordNonces({ defer: (step) => void steps.push(step) });
    try {
      const model = new Model(play, attacked);
      if (play.keys) await model.#prepare(Math.abs(play.ready) % 4);
      if (attacked) await model.#beginToTalk();
      for (const step of play.steps) {
        try {
          await model.#step(step);
        } catch (error) {
          // Somebody on the way may end a clear stream that the user believes in.
          if (!attacked || !(error instanceof UsageError)) throw error;
        }
        model.#observe();
        if (model.#failed) break;
      }
      if (!model.#failed) await (attacked ? model.#sealAndEnd() : model.#finish());
      model.#checkEnd();
      mustEqual(new Set(nonces).size, nonces.length, 'nonces that are used once');
    } finally {
      for (const step of steps) step();
    }
  }

  get #ends(): readonly [End, End] {
    return [this.#client, this.#server];
  }

  #peerOf(end: End): End {
    return end === this.#client ? this.#server : this.#client;
  }

  /** Makes keys before anything happens. */
  async #prepare(keys: number): Promise<void> {
    const made = { algorithm: ALGORITHM.PSK_X25519, label: LABEL, now: 0 };
    for (let key = 0; key < keys; key++)
      this.#client.keys?.negotiate({ ...made, authority: key % 2 === 1 ? 'host' : '' });
    if (keys > 0) await this.#settle();
  }

  /** A stream in the clear and one with its payload outside envelopes, which somebody on the way can do most to. */
  async #beginToTalk(): Promise<void> {
    if (this.#keyOf(this.#client, 1) === 0) await this.#prepare(1);
    const move = { act: 0, server: false, which: 0, size: 100, cuts: [], damage: [] };
    this.#open(this.#client, { ...move, key: 0, flag: false });
    this.#open(this.#client, { ...move, key: 1, flag: true });
    await this.#settle();
    for (let streams = 0; streams < 2; streams++) this.#reply(this.#server, { ...move, key: 0, flag: false });
    for (const end of this.#ends) for (const which of [0, 1]) this.#send(end, which, 100);
  }

  async #step(move: Move): Promise<void> {
    const { act, which, size, flag } = move;
    const end = move.server ? this.#server : this.#client;
    switch (Math.abs(act) % (ATTACK + 1)) {
      case 0:
      case 1:
      case 2:
        this.#open(end, move);
        return;
      case 3:
      case 4:
      case 5:
      case 6:
        this.#send(end, which, size);
        return;
      case 7:
      case 8:
        this.#reply(end, move);
        return;
      case 9:
        this.#end(this.#writable(end)[which % 8], end);
        return;
      case 10:
        this.#headers(end, move);
        return;
      case 11:
        if (flag) this.#reset(end, which);
        return;
      case 12:
      case 13:
        this.#consume(end, (size % 100) / 50);
        return;
      case 14:
        if (flag) end.session.ping();
        return;
      case 15:
      case 16:
        this.#negotiate(end, move);
        return;
      case 17:
        this.#renegotiate(end, move);
        return;
      case 18:
        this.#retire(end, move);
        return;
      case 19:
      case 20:
        this.#switch(end, move);
        return;
      case 21:
        if (which === 3 && size % 3 === 0) end.session.goAway();
        return;
      case 22:
      case 23:
        await new Promise(setImmediate);
        return;
      case ATTACK:
        if (!this.#attacked) return;
        end.put(undefined, false);
        end.flight = attacked(end.flight, move);
        this.#deliver(end, Number.POSITIVE_INFINITY, move.cuts);
        return;
      default:
        end.put(flag ? undefined : size, !this.#attacked);
        this.#deliver(end, flag ? Number.POSITIVE_INFINITY : size, move.cuts);
    }
  }

  /** The peer reads some of what is on its way, unless it has to wait for a key. */
  #deliver(from: End, most: number, cuts: readonly number[]): number {
    const to = this.#peerOf(from);
    const bytes = from.flight.subarray(0, Math.min(most, from.flight.length));
    let taken = 0;
    for (const piece of cut(bytes, cuts)) {
      if (!to.session.wantsInput) break;
      taken += piece.length;
      if (!this.#attacked) to.ledger.delivered(piece);
      to.session.receive(piece, 0);
    }
    from.flight = from.flight.subarray(taken);
    return taken;
  }

  // What users do

  #open(end: End, { which, key, flag }: Move): void {
    const keyId = this.#keyOf(end, key);
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
    const flows = new Map([end, this.#peerOf(end)].map((side) => [side, flow()]));
    const stream = {
      id,
      opener: end,
      outside,
      flows,
      accepted: false,
      replied: unidirectional,
      reset: false,
    };
    if (unidirectional) this.#flow(stream, this.#peerOf(end)).ended = true;
    this.#streams.push(stream);
  }

  #reply(end: End, { which, key, flag }: Move): void {
    const waiting = this.#streams.filter(
      ({ opener, accepted, replied, reset }) => opener !== end && accepted && !replied && !reset,
    );
    const stream = pick(waiting, which);
    if (stream === undefined) return;
    const keyId = key === 0 || stream.outside ? undefined : this.#keyOf(end, key);
    const fin = flag && !stream.outside;
    if (this.#ask(() => end.session.reply(stream.id, HEADERS, { fin, keyId }) ?? true)) {
      stream.replied = true;
      this.#flow(stream, end).ended = fin;
    }
  }

  #send(end: End, which: number, size: number): void {
    const stream = pick(this.#writable(end), which);
    if (stream === undefined) return;
    const flow = this.#flow(stream, end);
    const bytes = Buffer.alloc(size % 200_000, `${flow.sent.length}.`);
    end.session.send(stream.id, bytes);
    flow.sent = Buffer.concat([flow.sent, bytes]);
    flow.undrained ||= bytes.length > 0;
  }

  #headers(end: End, { which }: Move): void {
    const stream = pick(this.#writable(end), which);
    if (stream) end.session.headers(stream.id, [['x-more', 'y'.repeat(which)]]);
  }

  #end(stream: Stream | undefined, end: End): void {
    if (stream === undefined) return;
    end.session.end(stream.id);
    this.#flow(stream, end).ended = true;
  }

  #reset(end: End, which: number): void {
    const known = this.#streams.filter(
      (stream) => !stream.reset && (stream.opener === end || stream.accepted),
    );
    const stream = pick(known, which);
    if (stream === undefined) return;
    end.session.reset(stream.id);
    stream.reset = true;
  }

  #consume(end: End, share: number): void {
    for (const { id, reset, opener, accepted } of this.#streams) {
      if (reset || (opener !== end && !accepted)) continue;
      const name = `${end.role} ${id}`;
      const done = this.#consumed.get(name) ?? 0;
      const bytes = Math.min(1, share) * ((end.received.get(id)?.length ?? 0) - done);
      end.session.consume(id, Math.ceil(bytes));
      this.#consumed.set(name, done + Math.ceil(bytes));
    }
  }

  #negotiate(end: End, { which, key }: Move): void {
    const { keys } = end;
    // A server waits for the announcement (spec 2.6).
    if (keys === undefined || (end === this.#server && !this.#announced.has(end))) return;
    const algorithm = pick(ALGORITHMS, which) as number;
    const authority = pick(AUTHORITIES, key) as string;
    const label = algorithm === ALGORITHM.ANONYMOUS ? ANONYMOUS_LABEL : LABEL;
    this.#ask(() => keys.negotiate({ algorithm, label, authority, now: 0 }));
    end.session.keysProgressed(0);
  }

  #renegotiate(end: End, { key }: Move): void {
    const { keys } = end;
    const keyId = this.#keyOf(end, key);
    if (keys === undefined || keyId === 0) return;
    this.#ask(() => keys.renegotiate(keyId, 0));
    end.session.keysProgressed(0);
  }

  #retire(end: End, { key, flag }: Move): void {
    const keyId = this.#keyOf(end, key);
    if (keyId !== 0 && flag) this.#ask(() => end.session.retireKey(keyId) ?? true);
  }

  #switch(end: End, { which, key }: Move): void {
    const stream = pick(this.#writable(end), which);
    const keyId = this.#keyOf(end, key);
    if (stream !== undefined && keyId !== 0) this.#ask(() => end.session.switchKey(stream.id, keyId) ?? true);
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

  #keyOf(end: End, index: number): number {
    return pick([0, ...(this.#usable.get(end) ?? [])], index) as number;
  }

  #writable(end: End): Stream[] {
    return this.#streams.filter(
      (stream) =>
        !stream.reset &&
        !this.#flow(stream, end).ended &&
        (stream.opener === end || (stream.accepted && stream.replied)),
    );
  }

  #flow(stream: Stream, end: End): Flow {
    return stream.flows.get(end) as Flow;
  }

  // What users hear

  #observe(): void {
    for (const end of this.#ends) {
      let over = false;
      for (const event of end.events()) {
        must(!over, 'the error is the last event');
        over = event.type === 'error';
        this.#hear(end, event);
      }
    }
  }

  #hear(end: End, event: SessionEvent): void {
    const stream = 'id' in event ? this.#streams.find(({ id }) => id === event.id) : undefined;
    const flow = stream && this.#flow(stream, this.#peerOf(end));
    switch (event.type) {
      case 'error':
        mustBeTyped(event.error);
        if (!this.#attacked) throw event.error;
        this.#failed = true;
        return;
      case 'announced':
        this.#announced.add(end);
        return;
      case 'key': {
        const expected = event.key.algorithm === ALGORITHM.ANONYMOUS ? 'passive' : 'authenticated';
        // Whoever has not heard from the peer under the key has nothing proven yet, and seals nothing.
        const level = event.send && !event.key.early ? [expected] : [expected, 'none'];
        must(level.includes(event.key.level), `a key of level ${event.key.level}`);
        if (event.send && !event.key.early) this.#usable.get(end)?.add(event.key.keyId);
        return;
      }
      case 'key-retired':
        this.#usable.get(end)?.delete(event.keyId);
        return;
      case 'stream':
      case 'reply':
        if (flow === undefined || stream === undefined) return;
        if (event.type === 'stream') stream.accepted = true;
        flow.key = event.key?.keyId ?? 0;
        flow.sealed = flow.key !== 0;
        return;
      case 'switched':
        if (flow) flow.key = event.key.keyId;
        return;
      case 'data':
        if (stream && flow) this.#checkFlow(stream, flow, end, false);
        return;
      case 'end':
        if (stream && flow) this.#checkFlow(stream, flow, end, true);
        return;
      case 'drain':
        if (stream) this.#flow(stream, end).undrained = false;
        return;
      case 'reset':
        if (stream) stream.reset = true;
        must(this.#attacked || [3, 5].includes(event.status), `a reset with status ${event.status}`);
    }
  }

  /** A direction carries exactly what was sent, up to its end. Under attack that holds for what is sealed. */
  #checkFlow(stream: Stream, flow: Flow, receiver: End, atEnd: boolean): void {
    const { id, outside } = stream;
    const received = receiver.received.get(id) ?? Buffer.alloc(0);
    const trusted = !this.#attacked || (flow.sealed && !outside) || (atEnd && flow.key !== 0 && !outside);
    if (trusted)
      must(flow.sent.subarray(0, received.length).equals(received), `stream ${id} carries other bytes`);
    if (!atEnd || (this.#attacked && flow.key === 0)) return;
    must(flow.ended, `stream ${id} ends before it was ended`);
    must(
      received.length === flow.sent.length,
      `stream ${id} ends after ${received.length} of ${flow.sent.length} bytes`,
    );
  }

  // The end

  /** Ends everything properly and lets bytes go until all is quiet. */
  async #finish(): Promise<void> {
    await this.#settle(() => {
      for (const end of this.#ends) this.#consume(end, 1);
      for (const stream of this.#streams) this.#endBoth(stream);
    });
    for (const end of this.#ends) {
      mustEqual(end.session.streamCount, 0, `streams of the ${end.role} that are left`);
      mustEqual(end.session.output(), undefined, `what the ${end.role} has left to say`);
    }
    for (const stream of this.#streams) {
      for (const [sender, flow] of stream.flows) {
        const received = this.#peerOf(sender).received.get(stream.id) ?? Buffer.alloc(0);
        if (stream.reset)
          must(flow.sent.subarray(0, received.length).equals(received), 'a reset stream adds nothing');
        else must(!flow.undrained, `nobody heard that stream ${stream.id} has drained`);
        if (!stream.reset)
          must(
            flow.sent.equals(received),
            `stream ${stream.id} lost ${flow.sent.length - received.length} bytes`,
          );
      }
    }
    this.#checkCredit();
    this.#checkKeys();
    for (const end of this.#ends) end.session.carrierEnded(0);
    this.#observe();
  }

  /** Lets bytes go until nobody has anything to say. */
  async #settle(meanwhile: () => void = () => undefined): Promise<void> {
    for (let rounds = 0, quiet = 0; quiet < 4; rounds++) {
      must(rounds < 3000, 'the two sides never fall silent');
      if (this.#failed) return;
      let moved = 0;
      for (const end of this.#ends) {
        end.put(undefined, !this.#attacked);
        moved += this.#deliver(end, Number.POSITIVE_INFINITY, []);
        this.#observe();
      }
      meanwhile();
      await new Promise(setImmediate);
      quiet = moved === 0 && this.#ends.every(({ flight }) => flight.length === 0) ? quiet + 1 : 0;
    }
    this.#observe();
  }

  /** Moves to a key whatever is still in the clear, and ends it: what was done to it before must show now. */
  async #sealAndEnd(): Promise<void> {
    await this.#settle(() => {
      for (const end of this.#ends) {
        if (end.session.error !== undefined) continue;
        this.#consume(end, 1);
        for (const stream of this.#writable(end)) {
          const keyId = this.#keyOf(end, 1);
          if (keyId !== 0) this.#ask(() => end.session.switchKey(stream.id, keyId) ?? true);
          this.#ask(() => {
            end.session.end(stream.id);
            this.#flow(stream, end).ended = true;
          });
        }
      }
    });
  }

  #endBoth(stream: Stream): void {
    const answerer = this.#peerOf(stream.opener);
    if (stream.reset) return;
    if (stream.accepted && !stream.replied) {
      answerer.session.reply(stream.id, HEADERS);
      stream.replied = true;
    }
    for (const end of this.#ends) if (this.#writable(end).includes(stream)) this.#end(stream, end);
  }

  /** Nothing is on its way and all is consumed, so more than half of each session window is open again. */
  #checkCredit(): void {
    for (const end of this.#ends) {
      const { session } = end.ledger;
      must(session > 32_768, `the session window of the ${end.role} stays at ${session}`);
    }
  }

  /** No stream holds a key any more: all but the one of session frames could be retired. */
  #checkKeys(): void {
    for (const end of this.#ends) {
      const held = [...(this.#usable.get(end) ?? [])].filter(
        (keyId) => end.keys?.sender(keyId) !== undefined && !end.keys.canRetire(keyId),
      );
      must(held.length <= 1, `keys ${held.join(' ')} of the ${end.role} are held by something`);
    }
  }

  /** A session that has failed says so once, and then nothing. */
  #checkEnd(): void {
    for (const end of this.#ends) {
      if (end.session.error === undefined) continue;
      must(end.session.streamCount === 0 && end.session.over, 'nothing goes on after an error');
      end.session.output();
      end.session.receive(Uint8Array.of(0x80, 3, 0, 6), 0);
      mustEqual(
        [end.session.output(), end.session.nextEvent()],
        [undefined, undefined],
        'what follows the last words',
      );
    }
  }
}

/** What arrives of bytes on their way when somebody changes them, or takes, repeats, exchanges or adds whole frames. */
function attacked(flight: Buffer<ArrayBuffer>, { which, key, damage, size }: Move): Buffer<ArrayBuffer> {
  const frames: Uint8Array[] = [];
  for (let at = 0; at + 8 <= flight.length; ) {
    const end = at + 8 + flight.readUIntBE(at + 5, 3);
    frames.push(flight.subarray(at, end));
    at = end;
  }
  const at = which % Math.max(1, frames.length);
  const frame = frames[at];
  switch (key) {
    case 0:
      return Buffer.from(damaged(flight, damage));
    case 1:
      frames.splice(at, 1);
      break;
    case 2:
      if (frame) frames.splice(at, 0, frame);
      break;
    case 3:
      frames.splice(at, 2, ...frames.slice(at, at + 2).reverse());
      break;
    default:
      frames.splice(at, 0, ...forged(1 + (which % 4), size));
  }
  return Buffer.concat(frames);
}

/** Frames in the clear that anybody can make. */
function forged(streamId: number, choice: number): Uint8Array[] {
  const data = (fin: boolean) => Buffer.concat([encodeDataHead(streamId, fin, 2), Buffer.from('no')]);
  const reset = encodeControl({ type: 'rst-stream', streamId, status: 5 });
  const update = encodeControl({ type: 'window-update', streamId, delta: 1000 });
  return [[data(false)], [data(false)], [data(true)], [reset], [update]][choice % 5] as Uint8Array[];
}

const REFUSALS = new Set([
  ...['ERR_KEYMUX_NO_KEY', 'ERR_KEYMUX_SWITCH', 'ERR_KEYMUX_KEY_NEEDED', 'ERR_KEYMUX_GOING_AWAY'],
  'ERR_KEYMUX_STREAM_CLOSED',
  ...['ERR_KEYMUX_TOO_MANY_STREAMS', 'ERR_KEYMUX_KEY_USAGE', 'ERR_KEYMUX_KEY_EXHAUSTED', 'ERR_KEYMUX_FIN'],
]);
