import { randomBytes } from 'node:crypto';
import { type Keeper, KeyRegistry, Keyring, LocalKeeper, MovableSha256, PreSharedKey } from '@keymux/keys';
import { type Role, Session, type SessionEvent } from '@keymux/session';

/** Sessions with the real key registry, of which either side gets another owner whenever that is possible. */

/** The label of the key that both sides share. */
export const LABEL = 'shared';

const createHash = (): MovableSha256 => new MovableSha256();
const resumeHash = (state: Uint8Array): MovableSha256 => new MovableSha256(state);

/** One engine, whoever owns it now. */
export class Side {
  keys: KeyRegistry;
  session: Session;
  readonly events: SessionEvent[] = [];
  moves = 0;
  /** Moves while some key awaited the envelope that proves its peer. */
  unprovenMoves = 0;
  /** Handed out, and not taken by the carrier. */
  #waiting: Uint8Array[] = [];
  readonly #role: Role;
  readonly #keeper: Keeper;
  /** Steps that the keeper is asked for, and has not taken. */
  #steps = 0;
  readonly #keyIds = new Set<number>();

  constructor(role: Role) {
    const keyring = new Keyring();
    keyring.add(new PreSharedKey(Buffer.alloc(32, 'a key file')), {
      label: LABEL,
      authorities: ['', 'host'],
    });
    this.#role = role;
    this.#keeper = this.#watched(new LocalKeeper({ keyring, anonymous: [''], replaysKnownSince: 0 }));
    this.keys = new KeyRegistry({ role, keeper: this.#keeper });
    const config = { algorithms: 0b111_1110 };
    this.session = new Session({ role, keys: this.keys, createHash, config, now: 0 });
    this.keys.onProgress = () => this.session.keysProgressed(0);
  }

  get keeperWorks(): boolean {
    return this.#steps > 0;
  }

  #watched(keeper: Keeper): Keeper {
    const counted = <T>(step: Promise<T>): Promise<T> => {
      this.#steps++;
      return step.finally(() => this.#steps--);
    };
    return {
      algorithms: keeper.algorithms,
      start: (context, offer) => counted(keeper.start(context, offer)),
      accept: (context, first) => counted(keeper.accept(context, first)),
      receive: (run, frame) => counted(keeper.receive(run, frame)),
      abandon: (run) => keeper.abandon(run),
    };
  }

  /** Another owner takes the session over, if it can be. */
  move(): void {
    this.session.keysProgressed(0);
    this.poll();
    if (this.session.handOverObstacle !== undefined) return;
    const proven = [...this.#keyIds].every((keyId) => this.keys.info(keyId)?.level !== 'none');
    this.take(this.give());
    this.moves++;
    if (!proven) this.unprovenMoves++;
  }

  /** Gives the session up. */
  give(): Uint8Array {
    const blob = this.session.freeze({ id: randomBytes(16), unsent: this.#waiting, now: 0 });
    this.#waiting = [];
    return blob;
  }

  /** Goes on with a session. */
  take(blob: Uint8Array): void {
    this.session = Session.thaw(blob, {
      loadKeys: (reader) => {
        this.keys = KeyRegistry.load(reader, { role: this.#role, keeper: this.#keeper });
        return this.keys;
      },
      ...{ createHash, resumeHash, now: 0 },
    });
    this.keys.onProgress = () => this.session.keysProgressed(0);
  }

  poll(): void {
    for (let event = this.session.nextEvent(); event; event = this.session.nextEvent()) {
      this.events.push(event);
      if (event.type === 'key') this.#keyIds.add(event.key.keyId);
    }
  }

  /** Asks for what is to be sent, and gives it to the peer unless the carrier stands still. */
  carry(to: Side, delivers = true): boolean {
    for (let output = this.session.output(); output !== undefined; output = this.session.output())
      this.#waiting.push(...output);
    this.poll();
    if (!delivers || this.#waiting.length === 0) return false;
    to.session.receive(Uint8Array.from(Buffer.concat(this.#waiting)), 0);
    this.#waiting = [];
    to.poll();
    return true;
  }

  event<T extends SessionEvent['type']>(type: T): Extract<SessionEvent, { type: T }> | undefined {
    return this.events.find((event): event is Extract<SessionEvent, { type: T }> => event.type === type);
  }

  text(id: number): string {
    const pieces = this.events.map((event) =>
      event.type === 'data' && event.id === id ? event.payload : '',
    );
    return pieces.map((piece) => Buffer.from(piece).toString()).join('');
  }
}

/** Two of them in memory. */
export class Link {
  readonly client = new Side('client');
  readonly server = new Side('server');
  /** Whether what the client says arrives. */
  delivers = true;

  /** Carries until both are quiet and no keeper is at work; moves both sides wherever that is possible. */
  async settle(): Promise<void> {
    const { client, server } = this;
    for (let idle = 0; idle < 5; ) {
      const moved = [client.carry(server, this.delivers), server.carry(client)].includes(true);
      client.move();
      server.move();
      idle = moved || client.keeperWorks || server.keeperWorks ? 0 : idle + 1;
      await new Promise(setImmediate);
    }
  }
}
