import { WebSocketReader } from './websocket-reader.ts';

export type Side = 'client' | 'server';

/** What carries a session, as far as its beginning tells (spec 6.4); `other` is none of ours. */
type Kind = 'plain' | 'websocket' | 'upgrade' | 'other';

const MAX_HEAD = 64 * 1024;
const END_OF_HEAD = '\r\n\r\n';

/** Takes the bytes of a session out of a connection: as they are, out of a WebSocket, or after an HTTP upgrade. */
export class CarrierReader {
  readonly #directions = { client: new Direction(), server: new Direction() };
  #kind: Kind | undefined;

  /** The bytes of the session that came from `side`, with those that had to wait for it to be known what this is. */
  receive(side: Side, bytes: Buffer): { side: Side; bytes: Buffer }[] {
    this.#directions[side].hold(bytes);
    if (this.#kind === undefined) this.#kind = this.#recognise();
    const kind = this.#kind;
    if (kind === undefined) return [];
    return (['client', 'server'] as const).flatMap((from) =>
      this.#directions[from].read(kind).map((piece) => ({ side: from, bytes: piece })),
    );
  }

  #recognise(): Kind | undefined {
    const { client, server } = this.#directions;
    if (server.first === 0x80) return 'plain';
    const { first } = client;
    if (first === undefined) return undefined;
    if (first < 0x41 || first > 0x5a) return first === 0x80 || first === 0 ? 'plain' : 'other';
    const head = client.head;
    if (head === undefined) return client.held > MAX_HEAD ? 'other' : undefined;
    const upgrade = /^upgrade:(.*)$/im.exec(head)?.[1]?.toLowerCase() ?? '';
    if (upgrade.includes('spdy/3.1')) return 'upgrade';
    return upgrade.includes('websocket') ? 'websocket' : 'other';
  }
}

class Direction {
  #held: Buffer = Buffer.alloc(0);
  #headPassed = false;
  readonly #webSocket = new WebSocketReader();

  hold(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
  }

  get held(): number {
    return this.#held.length;
  }

  get first(): number | undefined {
    return this.#held[0];
  }

  /** The head of the HTTP message that the direction begins with. */
  get head(): string | undefined {
    const end = this.#held.indexOf(END_OF_HEAD);
    return end < 0 ? undefined : this.#held.toString('latin1', 0, end);
  }

  read(kind: Kind): Buffer[] {
    if (kind === 'other') {
      this.#held = Buffer.alloc(0);
      return [];
    }
    if (kind !== 'plain' && !this.#headPassed) {
      const end = this.#held.indexOf(END_OF_HEAD);
      if (end < 0) return [];
      this.#held = this.#held.subarray(end + END_OF_HEAD.length);
      this.#headPassed = true;
    }
    const bytes = this.#held;
    this.#held = Buffer.alloc(0);
    if (bytes.length === 0) return [];
    return kind === 'websocket' ? this.#webSocket.push(bytes) : [bytes];
  }
}
