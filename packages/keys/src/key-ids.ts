import type { StateSink, StateSource } from './state-port.ts';

const MAX_KEY_ID = 255;

/**
 * Key IDs of one session (spec 3.1): the client's are odd, the server's even, each side's only rise, so that none ever
 * names two keys.
 */
export class KeyIds {
  readonly #parity: number;
  #next: number;
  #peerLast = 0;
  #used = false;

  constructor(role: 'client' | 'server') {
    this.#parity = role === 'client' ? 1 : 0;
    this.#next = role === 'client' ? 1 : 2;
  }

  /** Whether any run has begun. */
  get used(): boolean {
    return this.#used;
  }

  /** An ID for a run that this side begins; undefined when its 128 (client) or 127 (server) are used up. */
  take(): number | undefined {
    if (this.#next > MAX_KEY_ID) return undefined;
    const id = this.#next;
    this.#next += 2;
    this.#used = true;
    return id;
  }

  isOwn(id: number): boolean {
    return id % 2 === this.#parity;
  }

  /** Takes note of the ID of a run that the peer begins. Returns false if it may not use it. */
  takePeers(id: number): boolean {
    if (this.isOwn(id) || id <= this.#peerLast || id > MAX_KEY_ID) return false;
    this.#peerLast = id;
    this.#used = true;
    return true;
  }

  save(writer: StateSink): void {
    writer.u16(this.#next);
    writer.u8(this.#peerLast);
    writer.flag(this.#used);
  }

  load(reader: StateSource): void {
    this.#next = reader.u16();
    this.#peerLast = reader.u8();
    this.#used = reader.flag();
    if (this.#next === 0 || !this.isOwn(this.#next))
      throw reader.malformed('the next key ID is of the other side');
  }
}
