import { connect, createServer, type Server, type Socket } from 'node:net';
import { type ControlFrame, FrameDecoder, HEAD_LENGTH, type Item, SEALED_HEAD_LENGTH } from '@keymux/frames';
import type { Scope } from './scope.ts';
import { listen } from './servers.ts';

/** From the side that connected, or back to it. */
export type Way = 'up' | 'down';

/** A whole frame on its way, with what anybody can read of it. */
export interface Passing {
  readonly way: Way;
  /** As in a spec: `settings`, `data`; `sealed` for an envelope. */
  readonly type: ControlFrame['type'] | 'data' | 'sealed';
  /** How many of its type came before it on this way of this wire. */
  readonly nth: number;
  /** Undefined for DATA and envelopes. */
  readonly frame: ControlFrame | undefined;
  /** As it came, head included. */
  readonly bytes: Buffer;
}

/** What goes on in the place of a frame: nothing said, the frame as it came; else these bytes, in one segment, or nothing. */
export type Meddler = (passing: Passing, wire: Wire) => undefined | Uint8Array | readonly Uint8Array[];

/** A proxy of the attacker: every frame passes through his hands, and he can send what he likes at any time. */
export class Middle {
  /** One for each connection, in their order. */
  readonly wires: Wire[] = [];
  readonly #server: Server;
  #port = 0;

  private constructor(target: number, meddle: Meddler) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const onward = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      this.wires.push(new Wire(client, onward, meddle));
    });
  }

  static async start(scope: Scope, target: number, meddle: Meddler = () => undefined): Promise<Middle> {
    const middle = new Middle(target, meddle);
    middle.#port = await listen(scope, middle.#server);
    return middle;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** The first connection. */
  get wire(): Wire {
    const [wire] = this.wires;
    if (wire === undefined) throw new Error('nobody has connected');
    return wire;
  }
}

/** One connection through the middle. */
export class Wire {
  /** Every frame as its sender sent it. */
  readonly seen: Passing[] = [];
  readonly #ends: Record<Way, Socket>;

  constructor(client: Socket, onward: Socket, meddle: Meddler) {
    this.#ends = { up: onward, down: client };
    this.#relay('up', client, meddle);
    this.#relay('down', onward, meddle);
  }

  /** Puts bytes on the wire now. */
  send(way: Way, ...bytes: readonly Uint8Array[]): void {
    if (this.#ends[way].writable) this.#ends[way].write(Buffer.concat(bytes));
  }

  /** Ends one way properly, as a carrier ends. */
  end(way: Way): void {
    this.#ends[way].end();
  }

  /** Cuts the connection, at both ends. */
  cut(): void {
    for (const end of Object.values(this.#ends)) end.destroy();
  }

  /** The frames of a type that a side has sent. */
  sent(way: Way, type: Passing['type']): Passing[] {
    return this.seen.filter((passing) => passing.way === way && passing.type === type);
  }

  #relay(way: Way, from: Socket, meddle: Meddler): void {
    const to = this.#ends[way];
    const cutter = new FrameCutter();
    from.on('data', (chunk: Buffer) => {
      const out: Uint8Array[] = [];
      for (const { type, frame, bytes } of cutter.cut(chunk)) {
        const passing = { way, type, frame, bytes, nth: this.sent(way, type).length };
        this.seen.push(passing);
        const instead = meddle(passing, this) ?? bytes;
        out.push(...(instead instanceof Uint8Array ? [instead] : instead));
      }
      this.send(way, ...out);
    });
    from.on('end', () => {
      this.send(way, cutter.rest);
      to.end();
    });
    from.on('error', () => to.destroy());
    from.on('close', () => from.readableEnded || to.destroy());
  }
}

/** Cuts a byte stream into frames and keeps their original bytes. */
class FrameCutter {
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  #held: Buffer = Buffer.alloc(0);

  /** What has not become a whole frame. */
  get rest(): Buffer {
    return this.#held;
  }

  *cut(chunk: Buffer): Generator<Pick<Passing, 'type' | 'frame' | 'bytes'>> {
    this.#held = Buffer.concat([this.#held, chunk]);
    this.#decoder.push(Uint8Array.from(chunk));
    for (let item = this.#decoder.next(); item !== undefined; item = this.#decoder.next()) {
      if (item.kind === 'data' && !item.last) continue;
      const length = wholeLength(item);
      const bytes = this.#held.subarray(0, length);
      this.#held = this.#held.subarray(length);
      const frame = item.kind === 'control' ? item.frame : undefined;
      yield { type: frame?.type ?? (item.kind as 'data' | 'sealed'), frame, bytes };
    }
  }
}

function wholeLength(item: Item): number {
  if (item.kind === 'control') return item.bytes.length;
  return item.kind === 'data' ? HEAD_LENGTH + item.length : SEALED_HEAD_LENGTH + item.body.length;
}

/** A copy with one byte changed; `at` counts from the end if it is negative. */
export function flipped(bytes: Uint8Array, at: number, mask = 0x01): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] as number) ^ mask;
  return copy;
}

/** Meddles with one frame: `up sealed 0` is the first envelope from who connected. */
export function at(what: string, meddle: Meddler): Meddler {
  return (passing, wire) =>
    what === `${passing.way} ${passing.type} ${passing.nth}` ? meddle(passing, wire) : undefined;
}

/** Puts bytes before a frame, in one segment with it. */
export function ahead(what: string, forged: Uint8Array): Meddler {
  return at(what, ({ bytes }) => [forged, bytes]);
}

/** Puts bytes behind a frame, in one segment with it. */
export function behind(what: string, forged: Uint8Array): Meddler {
  return at(what, ({ bytes }) => [bytes, forged]);
}

export function dropped(what: string): Meddler {
  return at(what, () => []);
}

/** Several at once; the first that says something about a frame decides. */
export function together(...meddlers: readonly Meddler[]): Meddler {
  return (passing, wire) => {
    for (const meddle of meddlers) {
      const instead = meddle(passing, wire);
      if (instead !== undefined) return instead;
    }
    return undefined;
  };
}
