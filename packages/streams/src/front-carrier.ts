import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { type FrontConfig, type FrontEvent, type FrontLink, FrontSession } from '@keymux/session';
import { bitSet } from './algorithm-choice.ts';
import { CarrierWriter } from './carrier-writer.ts';
import { DeadlineTimer } from './deadline-timer.ts';

export interface FrontCarrierOptions {
  readonly config?: Partial<FrontConfig>;
  /** ALG_IDs to announce for the hosts. */
  readonly algorithms: readonly number[];
  /** Where the client connects from; empty and 0 if that is no network address. */
  readonly client: { readonly address: string; readonly port: number };
  /** Opens a connection to the process that serves a host; undefined if none does. It need not be connected yet. */
  readonly connect: (authority: string) => Duplex | undefined;
  readonly onEvent: (event: FrontEvent) => void;
}

/** Runs a front's end of a session over the client's carrier, with a connection to each host process that it needs. */
export class FrontCarrier {
  /** Settles when the session is over, with what was wrong with it; never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #options: FrontCarrierOptions;
  readonly #session: FrontSession;
  readonly #writer: CarrierWriter;
  readonly #timer: DeadlineTimer;
  /** Connections to host processes that may still bring something. */
  readonly #hosts = new Set<Duplex>();
  #resolve: (error: Error | undefined) => void = () => undefined;
  #failure: Error | undefined;
  #finished = false;

  constructor(carrier: Duplex, options: FrontCarrierOptions) {
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { config, algorithms, client } = options;
    this.#session = new FrontSession({
      ...(config ? { config } : {}),
      algorithms: bitSet(algorithms),
      client,
      createHash: () => createHash('sha256'),
      connect: (authority, link) => this.#connect(authority, link),
      now: now(),
    });
    this.#timer = new DeadlineTimer(now, () => this.#step(() => this.#session.handleDeadline(now())));
    this.#writer = new CarrierWriter(carrier, () => this.#step(() => this.#session.carrierReady(now())));
    carrier.on('data', (chunk: Uint8Array) => this.#step(() => this.#session.receive(chunk, now())));
    carrier.on('end', () => this.#step(() => this.#session.carrierEnded(now())));
    carrier.on('error', (error) => {
      this.#failure = error;
    });
    carrier.on('close', () => {
      this.#step(() => this.#session.carrierEnded(now()));
      this.#finish();
    });
    this.#step(() => undefined);
  }

  /** Takes no more streams; resolves when the client has ended the session, or the drain timeout has passed. */
  async close(): Promise<void> {
    this.#step(() => this.#session.goAway(now()));
    await this.closed;
  }

  #connect(authority: string, link: FrontLink): Parameters<FrontLink['attach']>[0] | undefined {
    const host = this.#options.connect(authority);
    if (host === undefined) return undefined;
    this.#hosts.add(host);
    let failure: Error | undefined;
    host.on('data', (chunk: Uint8Array) => this.#step(() => this.#session.linkReceive(link, chunk, now())));
    host.on('error', (error) => {
      failure = error;
    });
    // A host has no half-close: when it has nothing more to say, its sessions are over.
    host.on('end', () => host.destroy());
    host.on('close', () => {
      this.#hosts.delete(host);
      this.#step(() => this.#session.linkEnded(link, now(), failure));
    });
    if (!this.#writer.ready) host.pause();
    return {
      get buffered() {
        return host.writableLength;
      },
      write: (parts) => {
        if (!host.writable) return;
        host.cork();
        for (const part of parts) host.write(part);
        host.uncork();
      },
      end: () => {
        host.end();
        host.resume(); // so that its end is noticed
      },
      destroy: () => host.destroy(),
    };
  }

  #step(action: () => void): void {
    if (this.#finished) return;
    action();
    for (let event = this.#session.nextEvent(); event !== undefined; event = this.#session.nextEvent())
      this.#options.onEvent(event);
    const output = this.#writer.ready || this.#session.over ? this.#session.output() : undefined;
    if (output !== undefined) this.#writer.write(output);
    if (this.#writer.blocked) this.#session.carrierBlocked(now());
    if (this.#session.over) this.#finish();
    else {
      this.#regulate();
      this.#timer.set(this.#session.nextDeadline());
    }
  }

  /** What hosts send waits with them while the client does not read, so that the front holds none of it. */
  #regulate(): void {
    const { ready } = this.#writer;
    for (const host of this.#hosts) {
      if (ready && host.isPaused()) host.resume();
      else if (!ready && !host.isPaused()) host.pause();
    }
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#timer.clear();
    for (const host of this.#hosts) cutLater(host);
    this.#writer.end();
    this.#resolve(this.#session.error ?? this.#failure);
  }
}

/** Gives a host time to notice that the client is gone. */
function cutLater(host: Duplex): void {
  host.resume();
  const cut = setTimeout(() => host.destroy(), LINGER).unref();
  host.once('close', () => clearTimeout(cut));
}

/** Milliseconds. */
const LINGER = 5_000;
const now = (): number => performance.now();
