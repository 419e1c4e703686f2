import {
  type ControlFrame,
  type DataItem,
  encodeHeaderBlock,
  GOAWAY,
  HeaderCompressor,
  RST,
  SETTING,
  type Setting,
  type Settings,
  type SynStream,
} from '@keymux/frames';
import { Accounts } from './budgets.ts';
import { flowControlError, overload, peerGone, protocolError, silent } from './errors.ts';
import type { FrontConfig } from './front-config.ts';
import { KeepAlive } from './keep-alive.ts';

/** What a front does itself in a client's session: everything that is no key's (spec 10.1, 10.2). */
export class FrontClear {
  readonly accounts: Accounts;
  /** The client takes no more streams, or opens none. */
  clientLeaving = false;
  readonly #keepAlive: KeepAlive;
  readonly #send: (frame: ControlFrame) => number;
  /** The client's last word on each SETTINGS entry that hosts must know. */
  readonly #settings = new Map<number, number>();
  #compressor: HeaderCompressor | undefined;
  #lastStreamId = 0;
  #payload = 0;
  #pingId = 2;
  /** Bytes of answers that nobody has taken. */
  #answers = 0;

  /** @param send puts a frame on the carrier and returns its size in bytes */
  constructor(config: FrontConfig, now: number, send: (frame: ControlFrame) => number) {
    this.accounts = new Accounts(config.budgets);
    this.#keepAlive = new KeepAlive(config.keepAlive, config.keepAliveTimeout, now);
    this.#send = send;
  }

  get lastStreamId(): number {
    return this.#lastStreamId;
  }

  /** What a new host is to know of the client. */
  get settings(): Settings {
    const entries = [...this.#settings].map(([id, value]): Setting => ({ id, value, flags: 0 }));
    return { type: 'settings', clear: false, entries };
  }

  get deadline(): number {
    return this.#keepAlive.deadline;
  }

  /** A whole frame, or payload, has come. */
  heard(now: number): void {
    this.#keepAlive.heard(now);
  }

  /** Everything that waited has been taken. */
  answersTaken(): void {
    this.#answers = 0;
  }

  /** Asks a silent client for a sign of life; throws SessionError if it has not given one. */
  checkSilence(now: number): void {
    const verdict = this.#keepAlive.check(now);
    if (verdict === 'give up') throw silent(this.#keepAlive.silence(now));
    if (verdict !== 'ask') return;
    this.#send({ type: 'ping', id: this.#pingId });
    this.#pingId += 2;
  }

  /** Handles a control frame. Throws SessionError. */
  control(frame: ControlFrame, now: number): void {
    switch (frame.type) {
      case 'settings':
        this.#learn(frame, now);
        return;
      case 'ping':
        this.accounts.spend(frame.id % 2 === 1 ? 'pings' : 'idle', now);
        if (frame.id % 2 === 1) this.#answer(frame);
        return;
      case 'goaway':
        this.accounts.spend('idle', now);
        this.clientLeaving = true;
        if (frame.status !== GOAWAY.OK) throw peerGone(frame.status);
        return;
      case 'syn-stream':
        this.#refuse(frame, now);
        return;
      case 'window-update':
        this.accounts.spend('windowUpdates', now);
        return;
      case 'key-gone':
        throw protocolError('KEY_GONE from a client');
      default:
        this.accounts.spend('idle', now); // of streams that are not known here
    }
  }

  /** Payload in the clear belongs to a stream that was refused. */
  data({ length, first }: DataItem, now: number): void {
    if (!first) return;
    if (length === 0) this.accounts.spend('idle', now);
    this.#payload += length;
    if (this.#payload > WINDOW) throw flowControlError('the client exceeded the session window');
  }

  #learn({ entries }: Settings, now: number): void {
    this.accounts.spend('settings', now);
    const seen = new Set<number>();
    for (const { id, value } of entries) {
      if (FOR_HOSTS.has(id) && !seen.has(id)) this.#settings.set(id, value);
      seen.add(id);
    }
  }

  /** A stream in the clear is for nobody here: 421, as from an origin that does not serve the host. */
  #refuse({ streamId, fin }: SynStream, now: number): void {
    this.accounts.spend('resets', now);
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId)
      throw protocolError(`SYN_STREAM ${streamId} after ${this.#lastStreamId}`);
    this.#lastStreamId = streamId;
    this.#compressor ??= new HeaderCompressor();
    const block = this.#compressor.compress(REFUSAL);
    this.#answer({ type: 'syn-reply', streamId, fin: true, block });
    if (!fin) this.#answer({ type: 'rst-stream', streamId, status: RST.CANCEL });
  }

  /** Sends what the client has asked for: if it does not read, that must end. */
  #answer(frame: ControlFrame): void {
    this.#answers += this.#send(frame);
    if (this.#answers > MAX_ANSWERS) throw overload('the client asks and does not read the answers');
  }
}

/** What hosts must know of the client's SETTINGS. */
const FOR_HOSTS: ReadonlySet<number> = new Set([
  SETTING.MAX_CONCURRENT_STREAMS,
  SETTING.INITIAL_WINDOW_SIZE,
  SETTING.KEYMUX,
  SETTING.KEYMUX_SWITCH_LIMIT,
]);

/** A front gives nothing of the session window for clear payload back (spec 2.5). */
const WINDOW = 65_536;
const MAX_ANSWERS = 64 * 1024;

const REFUSAL = encodeHeaderBlock([
  [':status', '421 Misdirected Request'],
  [':version', 'HTTP/1.1'],
  ['keymux-reason', 'this front passes on what is sealed for its hosts, and nothing else'],
]);
