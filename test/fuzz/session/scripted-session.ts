import { createHash } from 'node:crypto';
import { type Role, type SessionEvent, UsageError } from '@keymux/session';
import { HEADERS, ScriptedPeer, type ScriptFrame, type SeenFrame } from '../../support/scripted-peer.ts';
import { cut, damaged, must, mustBeTyped, pick } from '../checks.ts';
import { KEYS, toScriptFrame } from './plain-frame.ts';
import type { Script, Step } from './script.ts';

/** What a script has led to, without what depends on how bytes were cut. */
export interface Transcript {
  readonly events: readonly string[];
  readonly sent: readonly string[];
}

/** Plays a script. Throws Fault if the engine does what it never may. */
export function play(script: Script, keys: boolean, pieces: boolean): Transcript {
  return new Scene(pick(['server', 'client'] as const, script.role) as Role, keys, pieces).play(script.steps);
}

const WINDOW = 70_000;
const MAX_STREAMS = 5;

/** One engine, and what its peer and its user do to it. */
class Scene {
  readonly #peer: ScriptedPeer;
  readonly #keys: boolean;
  readonly #pieces: boolean;
  readonly #events: string[] = [];
  readonly #sent: SeenFrame[] = [];
  readonly #unconsumed = new Map<number, number>();
  readonly #given = new Set<number>();
  /** Session frames that the peer has sent. */
  #sessionFrames = 0;
  #peerGoesAway = false;
  #over = false;

  constructor(role: Role, keys: boolean, pieces: boolean) {
    this.#keys = keys;
    this.#pieces = pieces;
    const config = { streamWindow: WINDOW, sessionWindow: WINDOW, maxConcurrentStreams: MAX_STREAMS };
    this.#peer = new ScriptedPeer({ role, keys, config: { ...config, algorithms: keys ? 0x200 : 0 } });
  }

  play(steps: readonly Step[]): Transcript {
    this.#look();
    for (const step of steps) {
      this.#step(step);
      this.#look();
    }
    const { session, keys, now } = this.#peer;
    session.carrierEnded(now);
    this.#look();
    // The end waits for what was received before it, and that perhaps for a key that is being worked on.
    for (const keyId of KEYS) keys.resume(keyId);
    session.keysProgressed(now);
    this.#look();
    const open = session.streamCount;
    must(open === 0 || session.error !== undefined, `${open} streams outlive the carrier`);
    must(session.output() === undefined, 'nothing is left to be said');
    return { events: this.#events, sent: this.#sent.map(describe) };
  }

  #step(step: Step): void {
    const { session } = this.#peer;
    const { stream, size, flag } = step;
    const keyId = pick(KEYS, step.key) as number;
    switch (Math.abs(step.act)) {
      case 0:
        this.#command(() => void session.open(HEADERS, { fin: flag, keyId: this.#keys ? keyId : 0 }));
        return;
      case 1:
        this.#command(() => session.reply(stream, HEADERS, { fin: flag }));
        return;
      case 2:
        this.#command(() => session.send(stream, new Uint8Array(Math.abs(size) % 400_000)));
        return;
      case 3:
        this.#command(() => session.end(stream));
        return;
      case 4:
        this.#command(() => session.reset(stream, size));
        return;
      case 5:
        this.#consume(stream, Math.abs(size));
        return;
      case 6:
        this.#command(() => void (flag ? session.ping() : session.headers(stream, HEADERS)));
        return;
      case 7:
        if (size % 7 === 0) this.#command(() => session.goAway());
        return;
      case 8:
        this.#peer.now += Math.abs(size) % 50_000;
        session.handleDeadline(this.#peer.now);
        return;
      case 9: // a key
        if (this.#keys && keyId > 0 && !this.#given.has(keyId)) {
          this.#given.add(keyId);
          this.#peer.establish({ keyId, authority: flag ? 'host' : '', early: size % 11 === 0 });
        }
        return;
      case 10:
        this.#command(() => (flag ? session.switchKey(stream, keyId) : session.retireKey(keyId)));
        return;
      case 11: // a key that is being worked on
        if (flag) this.#peer.keys.stall(keyId);
        else this.#peer.keys.resume(keyId);
        session.keysProgressed(this.#peer.now);
        return;
      case 12: // the peer moves its session frames
        if (this.#given.has(keyId)) this.#send([this.#peer.controlSwitch(this.#sessionFrames)], keyId, step);
        return;
      default:
        this.#send(step.frames.map(toScriptFrame), this.#given.has(keyId) ? keyId : 0, step);
    }
  }

  /** A mistake of the user is refused and changes nothing else; a mistake in the engine is not. */
  #command(act: () => void): void {
    try {
      act();
      this.#events.push('done');
    } catch (error) {
      mustBeTyped(error);
      must(error instanceof UsageError, `a command throws ${error.name}`);
      this.#events.push(error.code);
    }
  }

  #consume(stream: number, size: number): void {
    const held = this.#unconsumed.get(stream) ?? 0;
    const bytes = Math.min(held, size);
    this.#command(() => this.#peer.session.consume(stream, bytes));
    this.#unconsumed.set(stream, held - bytes);
  }

  #send(frames: readonly ScriptFrame[], keyId: number, { damage, cuts }: Step): void {
    const bytes = this.#bytes(frames, keyId);
    const arrives = damaged(bytes, damage);
    for (const piece of cut(arrives, this.#pieces ? cuts : [])) {
      if (!this.#peer.session.wantsInput && this.#peer.session.error === undefined) continue; // a carrier would hold it back
      this.#peer.receives(piece);
    }
  }

  /** What cannot be written is not sent: the script may ask for fields out of their ranges. */
  #bytes(frames: readonly ScriptFrame[], keyId: number): Uint8Array {
    const outside = keyId === 0 ? frames.filter((frame) => SESSION_FRAMES.has(frame.type)).length : 0;
    try {
      const bytes =
        keyId === 0
          ? Buffer.concat(frames.map((frame) => this.#peer.encode(frame)))
          : this.#peer.envelope(keyId, ...frames);
      this.#sessionFrames += outside;
      return bytes;
    } catch (error) {
      mustBeTyped(error);
      return new Uint8Array(0);
    }
  }

  /** Sees what has happened, and that none of it is what never may. */
  #look(): void {
    const peer = this.#peer;
    const { session } = peer;
    if (this.#over) {
      must(session.output() === undefined, 'there is output after the last words');
      must(session.nextEvent() === undefined, 'there are events after the error');
      return;
    }
    const sent = peer.sees();
    this.#sent.push(...sent);
    for (const event of peer.events.splice(0)) {
      must(!this.#over, 'the error is the last event');
      if (event.type === 'error') {
        mustBeTyped(event.error);
        this.#over = true;
        must(session.error === event.error, 'the session says the same error');
        const goaways = sent.filter(({ type }) => type === 'goaway');
        const status = goaways.at(-1)?.status;
        const unsealed = this.#given.size > 0 && goaways.length === 0;
        const deaf = this.#peerGoesAway && event.error.code === 'ERR_KEYMUX_CARRIER_ENDED'; // spec 2.8
        must(!deaf || goaways.length === 0, 'who has said GOAWAY and left is told nothing');
        must(
          deaf || unsealed || status === event.error.status,
          `the peer is told ${status}, not ${event.error.status}`,
        );
        must(session.over && !session.wantsInput && session.streamCount === 0, 'nothing goes on');
        must(session.nextDeadline() === undefined, 'nothing is waited for');
      }
      this.#record(event);
    }
    must(session.streamCount <= 200, 'streams are bounded');
    for (const [id, held] of this.#unconsumed)
      must(held <= WINDOW, `${held} bytes are held for stream ${id}`);
  }

  #record(event: SessionEvent): void {
    if (event.type === 'data') {
      this.#unconsumed.set(event.id, (this.#unconsumed.get(event.id) ?? 0) + event.payload.length);
      const before = /^data (\d+) (\d+)$/.exec(this.#events.at(-1) ?? '');
      const joins = before?.[1] === String(event.id);
      if (joins) this.#events.pop();
      this.#events.push(`data ${event.id} ${event.payload.length + (joins ? Number(before?.[2]) : 0)}`);
      return;
    }
    if (event.type === 'closed') this.#unconsumed.delete(event.id);
    if (event.type === 'goaway') this.#peerGoesAway = true;
    const { type, ...fields } = event;
    this.#events.push(
      `${type} ${JSON.stringify(fields, (name, value) => (name === 'error' || name === 'cause' ? `${value}` : value))}`,
    );
  }
}

const SESSION_FRAMES = new Set(['settings', 'ping', 'goaway', 'key-nego']);

/** A frame that was sent, without what the secrets of a session show in, and with long fields as digests. */
function describe(frame: SeenFrame): string {
  return JSON.stringify({ ...frame, bytes: undefined, digest: undefined }, (_, value: unknown) => {
    if (typeof value !== 'string' || value.length < 100) return value;
    return createHash('sha256').update(value).digest('hex');
  });
}
