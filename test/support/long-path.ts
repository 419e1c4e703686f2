import { Session, type SessionConfig, type SessionEvent, type WindowShare } from '@keymux/session';

export interface LongPathOptions {
  /** Bytes a millisecond, in each direction. */
  readonly rate: number;
  /** There and back, in milliseconds. */
  readonly roundTrip: number;
  /** How much later a piece arrives, and holds back all behind it, in milliseconds. */
  readonly late?: () => number;
  /** What the windows of the client, and of the server, may grow by. */
  readonly share?: WindowShare;
  readonly serverShare?: WindowShare;
  readonly config?: Partial<SessionConfig>;
}

/** What a sender's side of the path takes before it says no, in bytes. */
const BUFFER = 256 * 1024;
const HEADERS: [string, string][] = [[':path', '/']];

/** A share that has enough for everybody, and says what was taken of it. */
export class PlainShare implements WindowShare {
  taken = 0;
  readonly #most: number;

  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  take(bytes: number): number {
    const taken = Math.max(0, Math.min(bytes, this.#most - this.taken));
    this.taken += taken;
    return taken;
  }

  adopt(bytes: number): void {
    this.taken += bytes;
  }

  give(bytes: number): void {
    this.taken -= bytes;
  }
}

/** One engine and its way to the other. */
class Side {
  readonly session: Session;
  /** What is on its way to this side. */
  readonly coming: { readonly due: number; readonly bytes: Uint8Array }[] = [];
  /** When the last of it will have left the other side. */
  busyUntil = 0;
  /** Received of each stream, and not consumed. */
  readonly unread = new Map<number, number>();
  received = 0;
  /** The most that was unread at a time. */
  mostUnread = 0;

  constructor(session: Session) {
    this.session = session;
  }
}

/** Two engines with a long path between them, in simulated time. The client reads what comes, the server writes; or the other way round. */
export class LongPath {
  now = 0;
  readonly client: Side;
  readonly server: Side;
  /** Bytes a millisecond that a reader takes; what is not said it takes at once. */
  readonly readers = new Map<number, number>();
  readonly #options: LongPathOptions;
  /** What streams that have not been answered are for: bytes down, or with a minus up. */
  readonly #answers = new Map<number, number>();
  #readAt = 0;

  constructor(options: LongPathOptions) {
    this.#options = options;
    const side = (role: 'client' | 'server'): Side => {
      const config = { keepAlive: 0, ...options.config };
      const share = role === 'client' ? options.share : options.serverShare;
      return new Side(new Session({ role, config, now: 0, windowShare: share ?? new PlainShare() }));
    };
    this.client = side('client');
    this.server = side('server');
  }

  /** The client asks for so many bytes, and gets them. */
  download(bytes: number): number {
    const id = this.client.session.open(HEADERS, { fin: true });
    this.#answers.set(id, bytes);
    return id;
  }

  /** The client sends so many bytes on a stream that the server has answered. */
  upload(bytes: number): number {
    const id = this.client.session.open(HEADERS);
    this.#answers.set(id, -bytes);
    return id;
  }

  /** Goes on until all streams are over, or the time is up. Returns how long that took. */
  run(most: number): number {
    const start = this.now;
    const over = (): boolean => this.#answers.size === 0 && this.client.session.streamCount === 0;
    while (!over() && this.now < start + most) this.#step(start + most);
    return this.now - start;
  }

  #step(end: number): void {
    this.#pump(this.client, this.server);
    this.#pump(this.server, this.client);
    const times = [
      this.client.coming[0]?.due,
      this.server.coming[0]?.due,
      ...[this.client, this.server].map((to) =>
        this.#blocked(to) ? to.busyUntil - BUFFER / this.#options.rate + 0.01 : undefined,
      ),
      this.readers.size > 0 ? this.#readAt + 5 : undefined,
    ].filter((time) => time !== undefined);
    this.now = Math.min(end, Math.max(this.now, Math.min(...times)));
    for (const to of [this.client, this.server]) {
      for (let next = to.coming[0]; next !== undefined && next.due <= this.now; next = to.coming[0]) {
        to.coming.shift();
        to.session.receive(next.bytes, this.now);
        this.#poll(to);
      }
    }
    this.#readSlowly();
    for (const { session } of [this.client, this.server]) if (session.error) throw session.error;
  }

  /** Whether the way to this side takes nothing more. */
  #blocked(to: Side): boolean {
    return to.busyUntil - this.now > BUFFER / this.#options.rate;
  }

  #pump(from: Side, to: Side): void {
    const { rate, roundTrip, late = () => 0 } = this.#options;
    while (!this.#blocked(to)) {
      const output = from.session.output(64 * 1024);
      if (output === undefined) return;
      const bytes = Buffer.concat(output);
      to.busyUntil = Math.max(this.now, to.busyUntil) + bytes.length / rate;
      const due = Math.max(to.coming.at(-1)?.due ?? 0, to.busyUntil + roundTrip / 2 + late());
      to.coming.push({ due, bytes });
    }
  }

  #poll(side: Side): void {
    for (let event = side.session.nextEvent(); event !== undefined; event = side.session.nextEvent())
      this.#handle(side, event);
  }

  #handle(side: Side, event: SessionEvent): void {
    if (event.type === 'data') {
      side.received += event.payload.length;
      if (this.readers.has(event.id)) {
        const unread = (side.unread.get(event.id) ?? 0) + event.payload.length;
        side.unread.set(event.id, unread);
        side.mostUnread = Math.max(side.mostUnread, unread);
      } else side.session.consume(event.id, event.payload.length, this.now);
    } else if (event.type === 'stream') {
      const bytes = this.#answers.get(event.id) ?? 0;
      side.session.reply(event.id, HEADERS);
      if (bytes > 0) side.session.send(event.id, Buffer.alloc(bytes));
      side.session.end(event.id);
      if (bytes >= 0) this.#answers.delete(event.id);
    } else if (event.type === 'reply') {
      const bytes = -(this.#answers.get(event.id) ?? 0);
      if (bytes <= 0) return;
      side.session.send(event.id, Buffer.alloc(bytes));
      side.session.end(event.id);
      this.#answers.delete(event.id);
    }
  }

  #readSlowly(): void {
    if (this.readers.size === 0 || this.now < this.#readAt + 5) return;
    const elapsed = this.now - this.#readAt;
    this.#readAt = this.now;
    for (const [id, rate] of this.readers)
      for (const side of [this.client, this.server]) {
        const bytes = Math.min(side.unread.get(id) ?? 0, Math.floor(rate * elapsed));
        if (bytes === 0) continue;
        side.unread.set(id, (side.unread.get(id) as number) - bytes);
        side.session.consume(id, bytes, this.now);
      }
  }
}
