import {
  type ControlFrame,
  type ControlItem,
  type DataItem,
  encodeControl,
  encodeHeaderBlock,
  FrameDecoder,
  GOAWAY,
  HeaderCompressor,
  type KeyNego,
  MAX_STREAM_ID,
  RST,
  SETTING,
  type SealedItem,
  type Settings,
  type SynStream,
} from '@keymux/frames';
import { Accounts, type Budgets, DEFAULT_BUDGETS } from './budgets.ts';
import {
  carrierEnded,
  flowControlError,
  keyFailure,
  overload,
  peerGone,
  protocolError,
  type SessionError,
  silent,
  toSessionError,
} from './errors.ts';
import { Fifo } from './fifo.ts';
import { FrontLink, type HostPort } from './front-link.ts';
import { authorityOf } from './front-offer.ts';
import { KeepAlive } from './keep-alive.ts';
import type { RunningHash } from './key-port.ts';
import { SessionDigest } from './session-digest.ts';

/** What a front may be configured with. Times are milliseconds, sizes bytes. */
export interface FrontConfig {
  /** What clients are told that they may send on a stream; hosts keep to it. 65,536 to 2^31 - 1. */
  readonly streamWindow: number;
  /** Streams that a client may have open at a time, with all hosts together. */
  readonly maxConcurrentStreams: number;
  /** Largest session window of a key. A front holds at most twice as much for a host that does not read. */
  readonly keyWindow: number;
  readonly keepAlive: number;
  readonly keepAliveTimeout: number;
  /** How long after GOAWAY clients may take to end. */
  readonly drainTimeout: number;
  /** How long a host may take to answer the first message of a run. Shorter than a run may take: then the client would end the session. */
  readonly hostTimeout: number;
  readonly budgets: Budgets;
}

export const DEFAULT_FRONT_CONFIG: FrontConfig = {
  streamWindow: 256 * 1024,
  maxConcurrentStreams: 1024,
  keyWindow: 4 * 1024 * 1024,
  keepAlive: 30_000,
  keepAliveTimeout: 15_000,
  drainTimeout: 30_000,
  hostTimeout: 8_000,
  budgets: DEFAULT_BUDGETS,
};

export interface FrontSessionOptions {
  readonly config?: Partial<FrontConfig>;
  /** ALG_IDs to announce for the hosts, as a bit set. */
  readonly algorithms: number;
  readonly createHash: () => RunningHash;
  /** Where the client connects from; empty and 0 if that is no network address. */
  readonly client: { readonly address: string; readonly port: number };
  /** Opens a link to the process that serves a host; undefined if none does. */
  readonly connect: (authority: string, link: FrontLink) => HostPort | undefined;
  /** Now, in milliseconds of any monotonic clock. */
  readonly now: number;
}

/** What a front has to tell. */
export type FrontEvent =
  /** A client asks for a key of a host. `served` says whether there is a process for it. */
  | { readonly type: 'run'; readonly keyId: number; readonly authority: string; readonly served: boolean }
  /** A host's link is over, and the client's session is not. */
  | {
      readonly type: 'host-gone';
      readonly authority: string;
      readonly status: number;
      readonly reason: string;
    };

/**
 * The front's end of a client's session, without input or output (spec chapter 10): it keeps what is in the clear, and passes the runs and
 * envelopes of each key to the process that holds the host's key, by key ID alone. It can open nothing.
 */
export class FrontSession {
  readonly #options: FrontSessionOptions;
  readonly #config: FrontConfig;
  readonly #accounts: Accounts;
  readonly #keepAlive: KeepAlive;
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #clientDigest: SessionDigest;
  readonly #ownDigest: SessionDigest;
  /** Where the frames of each key go; undefined once its host is gone. */
  readonly #keys = new Map<number, FrontLink | undefined>();
  /** Links that are not over. */
  readonly #links = new Set<FrontLink>();
  /** The client's last word on each SETTINGS entry that hosts must know. */
  readonly #settings = new Map<number, number>();
  /** Keys whose host has not answered yet, and until when it may. */
  readonly #unanswered = new Map<number, number>();
  readonly #events = new Fifo<FrontEvent>();
  #compressor: HeaderCompressor | undefined;
  #output: Uint8Array[] = [];
  /** Bytes of answers in `#output`. */
  #answers = 0;
  #now: number;
  #lastKeyId = 0;
  #lastStreamId = 0;
  #clearPayload = 0;
  #pingId = 2;
  #clientLeaving = false;
  #drainBy: number | undefined;
  #over = false;
  #error: SessionError | undefined;

  constructor(options: FrontSessionOptions) {
    this.#options = options;
    this.#config = { ...DEFAULT_FRONT_CONFIG, ...options.config };
    this.#now = options.now;
    this.#accounts = new Accounts(this.#config.budgets);
    this.#keepAlive = new KeepAlive(this.#config.keepAlive, this.#config.keepAliveTimeout, options.now);
    this.#clientDigest = new SessionDigest(options.createHash);
    this.#ownDigest = new SessionDigest(options.createHash);
    const { maxConcurrentStreams, streamWindow } = this.#config;
    const entries = [
      { id: SETTING.MAX_CONCURRENT_STREAMS, value: maxConcurrentStreams, flags: 0 },
      { id: SETTING.INITIAL_WINDOW_SIZE, value: streamWindow, flags: 0 },
      { id: SETTING.KEYMUX, value: options.algorithms, flags: 0 },
      { id: SETTING.KEYMUX_FRONT, value: 1, flags: 0 },
    ];
    this.#send({ type: 'settings', clear: false, entries });
  }

  /** Takes bytes from the client's carrier. They are passed on as views: `chunk` must not change any more. */
  receive(chunk: Uint8Array, now: number): void {
    this.#advance(now, () => {
      this.#decoder.push(chunk);
      for (let item = this.#decoder.next(); item !== undefined; item = this.#decoder.next()) {
        this.#keepAlive.heard(now);
        if (item.kind === 'sealed') this.#sealed(item);
        else if (item.kind === 'data') this.#data(item);
        else this.#control(item);
      }
    });
  }

  /** The carrier has no more input. What hosts have to say of that is for their sessions, which end with it. */
  carrierEnded(now: number): void {
    this.#advance(now, () => {
      if (this.#decoder.midFrame) throw carrierEnded(0);
      this.#finish();
    });
  }

  handleDeadline(now: number): void {
    this.#advance(now, () => {
      for (const [keyId, deadline] of this.#unanswered) {
        if (now >= deadline) this.#keys.get(keyId)?.fail(GOAWAY.INTERNAL_ERROR, 'it does not answer');
      }
      if (this.#drainBy !== undefined && now >= this.#drainBy) this.#finish();
      const verdict = this.#keepAlive.check(now);
      if (verdict === 'give up') throw silent(this.#keepAlive.silence(now));
      if (verdict !== 'ask') return;
      this.#send({ type: 'ping', id: this.#pingId });
      this.#pingId += 2;
    });
  }

  /** Takes bytes from a host. */
  linkReceive(link: FrontLink, chunk: Uint8Array, now: number): void {
    this.#now = now;
    if (!this.#over) link.receive(chunk);
  }

  /** A link's connection is over, or was never made. */
  linkEnded(link: FrontLink, now: number, error?: Error): void {
    this.#now = now;
    if (!this.#over) link.disconnected(error);
  }

  /** Takes no more streams; ends what is left after the drain timeout. */
  goAway(now: number): void {
    this.#advance(now, () => {
      if (this.#drainBy !== undefined) return;
      this.#drainBy = now + this.#config.drainTimeout;
      // Which streams there are only the hosts know; none that is on its way is taken back.
      this.#send({ type: 'goaway', lastGoodId: MAX_STREAM_ID, status: GOAWAY.OK });
      if (this.#links.size === 0) this.#finish();
    });
  }

  /** What to write to the client next; undefined if there is nothing. */
  output(): Uint8Array[] | undefined {
    if (this.#output.length === 0) return undefined;
    const output = this.#output;
    this.#output = [];
    this.#answers = 0;
    return output;
  }

  nextEvent(): FrontEvent | undefined {
    return this.#events.shift();
  }

  /** When `handleDeadline` wants to be called. */
  nextDeadline(): number | undefined {
    if (this.#over) return undefined;
    const drain = this.#drainBy ?? Number.POSITIVE_INFINITY;
    const next = Math.min(this.#keepAlive.deadline, drain, ...this.#unanswered.values());
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /** Whether the carrier may be closed, once `output` is written. */
  get over(): boolean {
    return this.#over;
  }

  get error(): SessionError | undefined {
    return this.#error;
  }

  /** Does something that may fail the client's session. */
  #advance(now: number, action: () => void): void {
    this.#now = now;
    if (this.#over) return;
    try {
      action();
    } catch (error) {
      this.#error = toSessionError(error);
      this.#send({ type: 'goaway', lastGoodId: this.#lastStreamId, status: this.#error.status });
      this.#finish();
    }
  }

  #finish(): void {
    this.#over = true;
    for (const link of this.#links) link.end();
    this.#links.clear();
    this.#unanswered.clear();
  }

  // From the client

  #control({ frame, bytes }: ControlItem): void {
    if (frame.type === 'key-nego') {
      this.#keyNego(frame, bytes);
      return;
    }
    this.#clientDigest.update(bytes);
    switch (frame.type) {
      case 'settings':
        this.#learn(frame, bytes);
        return;
      case 'ping':
        this.#accounts.spend(frame.id % 2 === 1 ? 'pings' : 'idle', this.#now);
        if (frame.id % 2 === 1) this.#answer(frame);
        return;
      case 'goaway':
        this.#accounts.spend('idle', this.#now);
        this.#clientLeaving = true;
        for (const link of this.#links) link.pass([bytes]);
        if (frame.status !== GOAWAY.OK) throw peerGone(frame.status);
        if (this.#links.size === 0) this.#finish();
        return;
      case 'syn-stream':
        this.#refuse(frame);
        return;
      case 'window-update':
        this.#accounts.spend('windowUpdates', this.#now);
        return;
      case 'key-gone':
        throw protocolError('KEY_GONE from a client');
      default:
        this.#accounts.spend('idle', this.#now); // of streams that are not known here
    }
  }

  #keyNego(frame: KeyNego, bytes: Uint8Array): void {
    this.#accounts.spend('negotiations', this.#now);
    const digest = this.#clientDigest.snapshot();
    this.#clientDigest.update(bytes);
    const { keyId } = frame;
    if (!this.#keys.has(keyId)) this.#begin(frame);
    this.#keys.get(keyId)?.pass([encodeControl({ type: 'front-nego', digest, frame: bytes })]);
  }

  /** The first message of a run: whose key it is for, it says in the clear. After that only the key ID counts. */
  #begin({ keyId, reject, retire, data }: KeyNego): void {
    if (keyId % 2 === 0 || keyId <= this.#lastKeyId || reject || retire)
      throw keyFailure(`a run with key ID ${keyId} cannot be begun`);
    this.#lastKeyId = keyId;
    const authority = authorityOf(data);
    const link = authority === undefined ? undefined : this.#linkTo(authority);
    this.#keys.set(keyId, link);
    this.#events.push({ type: 'run', keyId, authority: authority ?? '', served: link !== undefined });
    if (link === undefined) {
      this.#send({ type: 'key-gone', keyId, status: GOAWAY.KEY_FAILURE });
      return;
    }
    link.keys.add(keyId);
    this.#unanswered.set(keyId, this.#now + this.#config.hostTimeout);
  }

  #linkTo(authority: string): FrontLink | undefined {
    for (const link of this.#links) if (link.authority === authority && link.takesRuns) return link;
    const { keyWindow, streamWindow, maxConcurrentStreams } = this.#config;
    const link = new FrontLink(authority, 2 * keyWindow, {
      nego: (_link, keyId, bytes) => this.#passNego(link, keyId, bytes),
      sealed: (_link, item) => this.#passSealed(item),
      ended: (_link, status, reason) => this.#linkOver(link, status, reason),
    });
    const port = this.#options.connect(authority, link);
    if (port === undefined) return undefined;
    link.attach(port);
    this.#links.add(link);
    const { client } = this.#options;
    const hello = { type: 'front-hello', ...client, maxConcurrentStreams, streamWindow, keyWindow } as const;
    const entries = [...this.#settings].map(([id, value]) => ({ id, value, flags: 0 }));
    const settings = { type: 'settings', clear: false, entries } as const;
    link.pass([encodeControl(hello), encodeControl(settings)]);
    return link;
  }

  #sealed(item: SealedItem): void {
    const { keyId, head, body } = item;
    if (!this.#keys.has(keyId)) throw keyFailure(`an envelope under key ${keyId}, of which there was no run`);
    this.#clientDigest.update(head);
    this.#keys.get(keyId)?.pass([head, ...body]);
  }

  #learn({ entries }: Settings, bytes: Uint8Array): void {
    this.#accounts.spend('settings', this.#now);
    const seen = new Set<number>();
    for (const { id, value } of entries) {
      if (FOR_HOSTS.has(id) && !seen.has(id)) this.#settings.set(id, value);
      seen.add(id);
    }
    for (const link of this.#links) link.pass([bytes]);
  }

  /** A stream in the clear is for nobody here: 421, as from an origin that does not serve the host (spec 10.3). */
  #refuse({ streamId, fin }: SynStream): void {
    this.#accounts.spend('resets', this.#now);
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId)
      throw protocolError(`SYN_STREAM ${streamId} after ${this.#lastStreamId}`);
    this.#lastStreamId = streamId;
    this.#compressor ??= new HeaderCompressor();
    const block = this.#compressor.compress(REFUSAL);
    this.#answer({ type: 'syn-reply', streamId, fin: true, block });
    if (!fin) this.#answer({ type: 'rst-stream', streamId, status: RST.CANCEL });
  }

  /** Payload in the clear belongs to a stream that was refused. */
  #data({ head, length, first }: DataItem): void {
    if (!first || head === undefined) return;
    this.#clientDigest.update(head);
    if (length === 0) this.#accounts.spend('idle', this.#now);
    this.#clearPayload += length;
    if (this.#clearPayload > CLEAR_WINDOW) throw flowControlError('the client exceeded the session window');
  }

  // To the client

  #passNego(link: FrontLink, keyId: number, bytes: Uint8Array): void {
    this.#unanswered.delete(keyId);
    const digest = this.#ownDigest.snapshot();
    this.#ownDigest.update(bytes);
    this.#output.push(bytes);
    link.pass([encodeControl({ type: 'front-sent', keyId, digest })]);
  }

  #passSealed({ keyId, head, body }: SealedItem): void {
    this.#unanswered.delete(keyId);
    this.#ownDigest.update(head);
    this.#output.push(head, ...body);
  }

  #linkOver(link: FrontLink, status: number, reason: string): void {
    this.#links.delete(link);
    for (const keyId of link.keys) {
      this.#unanswered.delete(keyId);
      this.#keys.set(keyId, undefined);
      this.#send({ type: 'key-gone', keyId, status });
    }
    // A host has nothing more to do for a client that is leaving.
    if (!this.#clientLeaving) {
      this.#events.push({ type: 'host-gone', authority: link.authority, status, reason });
    } else if (this.#links.size === 0) this.#finish();
  }

  /** Sends what the client has asked for: if it does not read, that must end. */
  #answer(frame: ControlFrame): void {
    this.#answers += this.#send(frame);
    if (this.#answers > MAX_ANSWERS) throw overload('the client asks and does not read the answers');
  }

  #send(frame: ControlFrame): number {
    const bytes = encodeControl(frame);
    this.#ownDigest.update(bytes);
    this.#output.push(bytes);
    return bytes.length;
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
const CLEAR_WINDOW = 65_536;
const MAX_ANSWERS = 64 * 1024;

const REFUSAL = encodeHeaderBlock([
  [':status', '421 Misdirected Request'],
  [':version', 'HTTP/1.1'],
  ['keymux-reason', 'this front passes on what is sealed for its hosts, and nothing else'],
]);
