import { randomBytes } from 'node:crypto';
import { type DataItem, FrameDecoder, HeaderDecompressor, type Item } from '@keymux/frames';
import { MovableSha256 } from '@keymux/keys';
import { type Role, Session, type SessionConfig, type SessionEvent, UsageError } from '@keymux/session';
import { type FakeKeyOptions, FakeKeys, newWorld } from './fake-keys.ts';

const createHash = (): MovableSha256 => new MovableSha256();
const resumeHash = (state: Uint8Array): MovableSha256 => new MovableSha256(state);

/** One engine of a pair, whoever owns it now. */
export class Mover {
  readonly role: Role;
  session: Session;
  keys: FakeKeys;
  /** What it has told, in words. */
  readonly told: string[] = [];
  /** All payload that came, by stream. */
  readonly received = new Map<number, Uint8Array[]>();
  /** Handed out, and not taken by the carrier. */
  waiting: Uint8Array[] = [];
  /** How often it was handed over. */
  moves = 0;
  readonly #config: Partial<SessionConfig>;
  /** What the clock of its process is ahead of the time. */
  #ahead = 0;

  constructor(role: Role, world: string, config: Partial<SessionConfig>) {
    this.role = role;
    this.#config = config;
    this.keys = new FakeKeys(role, world);
    this.session = new Session({ role, config, keys: this.keys, createHash, now: 0 });
  }

  /** Its clock at `time`. */
  at(time: number): number {
    return time + this.#ahead;
  }

  /** Hands the session over to a process that knows nothing, and has another clock; not if there is an obstacle. */
  move(time: number, ahead: number): void {
    this.stay(time);
    if (this.session.handOverObstacle !== undefined) return;
    const unsent = this.waiting;
    const blob = this.session.freeze({ id: randomBytes(16), unsent, now: this.at(time) });
    this.#ahead = ahead;
    const loadKeys = (reader: Parameters<typeof FakeKeys.load>[0]): FakeKeys => {
      this.keys = FakeKeys.load(reader);
      return this.keys;
    };
    // What the peer was told goes along: it is not in the configuration of the next owner.
    const { padding = 'none' } = this.#config;
    const options = { config: { padding }, loadKeys, createHash, resumeHash, now: this.at(time) };
    this.session = Session.thaw(blob, options);
    // What was unsent comes first, and takes nothing with it.
    this.waiting = unsent.length > 0 ? (this.session.output(1) ?? []) : [];
    this.moves++;
  }

  /** Does what else a hand-over does: what can go on does. */
  stay(time: number): void {
    this.session.keysProgressed(this.at(time));
    this.poll();
  }

  /** Takes down what the engine reports. */
  poll(): void {
    for (let event = this.session.nextEvent(); event !== undefined; event = this.session.nextEvent()) {
      if (event.type === 'data') this.#receive(event.id, new Uint8Array(event.payload));
      else this.told.push(inWords(event));
    }
  }

  #receive(id: number, payload: Uint8Array): void {
    const pieces = this.received.get(id) ?? [];
    this.received.set(id, pieces);
    pieces.push(payload);
  }

  /** Does what may be impossible; then it takes that down. */
  try(action: (session: Session) => void): void {
    try {
      action(this.session);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.told.push(error.code);
    }
  }

  /** Everything that it is asked about by whoever drives it. */
  standing(time: number): object {
    const { session } = this;
    const next = session.nextDeadline();
    return {
      streams: session.streamCount,
      canOpen: session.canOpen,
      wantsInput: session.wantsInput,
      over: session.over,
      error: session.error?.message,
      deadline: next === undefined ? undefined : next - this.at(time),
      bound: [...this.keys.bound].map(([keyId, streams]) => [keyId, [...streams].sort()]),
    };
  }
}

/** Two engines and what is on its way between them; either may change its owner at any time. */
export class MovingPair {
  time = 0;
  readonly client: Mover;
  readonly server: Mover;
  /** Streams that were opened, by either side. */
  readonly opened: number[] = [];
  /** What was on the carrier, frame by frame, from each side. */
  readonly wire: Record<Role, string[]> = { client: [], server: [] };
  readonly #readers: Record<Role, WireReader>;
  readonly #nextKeyIds = { client: 11, server: 12 };

  constructor(client: Partial<SessionConfig>, server: Partial<SessionConfig>) {
    const world = newWorld();
    this.client = new Mover('client', world, { algorithms: 0x200, ...client });
    this.server = new Mover('server', world, { algorithms: 0x200, ...server });
    this.#readers = { client: new WireReader(this.wire.client), server: new WireReader(this.wire.server) };
  }

  /** A stream that one of them has opened, for a random number. */
  someStream(pick: number): number {
    return this.opened[pick % this.opened.length] ?? 1;
  }

  /** The ID of the next key that a side negotiates itself. */
  nextKeyId(side: Role): number {
    const keyId = this.#nextKeyIds[side];
    this.#nextKeyIds[side] += 2;
    return keyId;
  }

  peerOf({ role }: Mover): Mover {
    return role === 'client' ? this.server : this.client;
  }

  /** Asks one side for about `most` bytes, which wait for the carrier then. Returns whether there were any. */
  ask(from: Mover, most: number): boolean {
    const output = from.session.output(most);
    if (output === undefined) return false;
    from.waiting.push(...output);
    from.poll();
    return true;
  }

  /** Carries about `most` of the bytes that wait to the other side, in pieces of `size`. */
  carry(from: Mover, most: number, size: number): boolean {
    const bytes = Buffer.concat(from.waiting);
    const gone = Uint8Array.from(bytes.subarray(0, most));
    from.waiting = most < bytes.length ? [Uint8Array.from(bytes.subarray(most))] : [];
    this.#readers[from.role].read(gone);
    const to = this.peerOf(from);
    for (let at = 0, i = 0; at < gone.length; i++) {
      // Small pieces of much take long; after some the rest goes at once.
      const end = i < 50 ? at + size : gone.length;
      const lent = gone.slice(at, end);
      to.session.receive(lent, to.at(this.time));
      to.poll();
      lent.fill(0xee);
      at = end;
    }
    return gone.length > 0;
  }

  /** Carries until nobody has anything to say. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 5_000) throw new Error('the two sides never fall silent');
      let moved = false;
      for (const side of [this.client, this.server]) {
        moved = this.ask(side, 262_144) || moved;
        moved = this.carry(side, Number.POSITIVE_INFINITY, 262_144) || moved;
      }
      if (!moved) return;
    }
  }

  establish(options: FakeKeyOptions): void {
    for (const side of [this.client, this.server]) {
      side.keys.install(options);
      side.session.keysProgressed(side.at(this.time));
    }
    this.settle();
  }
}

/** Takes down frames; header blocks as they were before compression, which is free to find other references. */
class WireReader {
  readonly #frames: string[];
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  readonly #decompressor = new HeaderDecompressor();

  constructor(frames: string[]) {
    this.#frames = frames;
  }

  read(bytes: Uint8Array): void {
    this.#decoder.push(Uint8Array.from(bytes));
    for (let item = this.#decoder.next(); item; item = this.#decoder.next()) this.#note(item);
  }

  #note(item: Item): void {
    if (item.kind === 'sealed') this.#frames.push(`sealed ${hex(item.head)} ${item.body.length}`);
    else if (item.kind === 'data') this.#noteData(item);
    else if ('block' in item.frame) {
      const plain = { ...item.frame, block: hex(this.#decompressor.decompress(item.frame.block)) };
      this.#frames.push(JSON.stringify(plain));
    } else this.#frames.push(hex(item.bytes));
  }

  #noteData({ head, payload }: DataItem): void {
    const begun = head === undefined ? (this.#frames.pop() ?? '') : `data ${hex(head)} `;
    this.#frames.push(begun + hex(payload));
  }
}

function inWords(event: SessionEvent): string {
  return JSON.stringify(event, (_name, value) => (value instanceof Error ? value.message : value));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
