import { type Role, Session, type SessionConfig, type SessionEvent } from '@keymux/session';
import { createSha256, type FakeKeyOptions, FakeKeys, newWorld } from './fake-keys.ts';

type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;

export interface PairOptions {
  /** Without keys both are plain SPDY/3.1. */
  readonly keys?: boolean;
  readonly client?: Partial<SessionConfig>;
  readonly server?: Partial<SessionConfig>;
  readonly firstStreamId?: number;
}

/** One engine and what it has reported. */
export class End {
  readonly session: Session;
  readonly keys: FakeKeys;
  /** Events in order; `take` removes. */
  readonly events: SessionEvent[] = [];
  #lends = 0;
  readonly #received = new Map<number, Uint8Array[]>();

  constructor(session: Session, keys: FakeKeys) {
    this.session = session;
    this.keys = keys;
  }

  /** Collects what the engine reports. */
  poll(): void {
    for (let event = this.session.nextEvent(); event !== undefined; event = this.session.nextEvent()) {
      if (event.type !== 'data') {
        this.events.push(event);
        continue;
      }
      const payload = event.lent ? new Uint8Array(event.payload) : event.payload;
      this.events.push({ ...event, payload });
      const pieces = this.#received.get(event.id) ?? [];
      this.#received.set(event.id, pieces);
      pieces.push(payload);
    }
  }

  /** Gives the engine bytes that are only lent, and takes them back. */
  receives(bytes: Uint8Array, now: number): void {
    const lent = this.#lends++ % 2 === 0 ? Uint8Array.from(bytes) : Buffer.from(bytes);
    this.session.receive(lent, now);
    this.poll();
    lent.fill(0xee);
  }

  /** All payload that came on a stream. */
  received(id: number): Buffer {
    this.poll();
    return Buffer.concat(this.#received.get(id) ?? []);
  }

  /** The types of all events, for a look at their order. */
  get types(): string[] {
    this.poll();
    return this.events.map((event) => event.type);
  }

  /** Removes and returns the first event of a type. */
  take<T extends SessionEvent['type']>(type: T): EventOf<T> {
    const event = this.find(type);
    if (event === undefined) throw new Error(`no event "${type}" in: ${this.types.join(' ')}`);
    this.events.splice(this.events.indexOf(event), 1);
    return event;
  }

  find<T extends SessionEvent['type']>(type: T): EventOf<T> | undefined {
    this.poll();
    return this.events.find((event): event is EventOf<T> => event.type === type);
  }

  /** All the engine wants to write now. */
  output(most?: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    for (let out = this.session.output(most); out !== undefined; out = this.session.output(most))
      pieces.push(...out);
    return Buffer.concat(pieces);
  }
}

/** Two engines in memory, with a clock that the test moves. */
export class SessionPair {
  now = 1000;
  readonly client: End;
  readonly server: End;

  constructor(options: PairOptions = {}) {
    const world = newWorld();
    const end = (role: Role): End => {
      const keys = new FakeKeys(role, world);
      const config = { ...(options.keys ? { algorithms: 0x200 } : {}), ...options[role] };
      const session = new Session({
        role,
        config,
        now: this.now,
        ...(options.keys ? { keys, createHash: createSha256 } : {}),
        ...(role === 'client' && options.firstStreamId ? { firstStreamId: options.firstStreamId } : {}),
      });
      return new End(session, keys);
    };
    this.client = end('client');
    this.server = end('server');
  }

  /** Moves what one side has to say to the other, once. Returns the bytes moved. */
  carry(from: End, change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes): number {
    const bytes = change(from.output());
    const to = from === this.client ? this.server : this.client;
    if (bytes.length > 0) to.receives(bytes, this.now);
    this.client.poll();
    this.server.poll();
    return bytes.length;
  }

  /** Carries until nobody has anything to say. */
  settle(): void {
    for (let rounds = 0; this.carry(this.client) + this.carry(this.server) > 0; rounds++) {
      if (rounds > 10_000) throw new Error('the two sides never fall silent');
    }
  }

  /** Both sides get a key, and what follows from it is carried. */
  establish(options: FakeKeyOptions): void {
    for (const end of [this.client, this.server]) {
      end.keys.install(options);
      end.session.keysProgressed(this.now);
    }
    this.settle();
  }

  /** Moves the clock; each side handles the deadlines that pass. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = Math.min(
        this.client.session.nextDeadline() ?? Number.POSITIVE_INFINITY,
        this.server.session.nextDeadline() ?? Number.POSITIVE_INFINITY,
      );
      if (next > until) break;
      this.now = Math.max(this.now, next);
      this.client.session.handleDeadline(this.now);
      this.server.session.handleDeadline(this.now);
      this.settle();
    }
    this.now = until;
  }
}
