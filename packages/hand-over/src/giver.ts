import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { handleOf, type Movable } from '@keymux/streams';
import type { Channel } from './channel.ts';
import { HandOverError } from './errors.ts';
import { Inbox } from './inbox.ts';
import { MAX_SOCKETS, type Message, NAME_LENGTH, PART_LENGTH, VERSION } from './messages.ts';
import { sealTo } from './sealing.ts';

export interface GiveOptions {
  /** How long it may take until the state leaves, and again until it is taken, in milliseconds; 10,000 by default. */
  readonly timeout?: number;
  /** Whom the relay is to give it to, as it knows them; at most 64 characters. */
  readonly to?: string;
}

/**
 * Hands a session over by way of `channel` (spec 13.9). It goes on as before until its state leaves, in one turn, and belongs to the other process from
 * then on. Resolves when that one has it. Rejects with HandOverError, whose `lost` says whether the session is still here.
 */
export async function give(movable: Movable, channel: Channel, options: GiveOptions = {}): Promise<void> {
  const run = new Giving(movable, channel, options);
  try {
    await run.prepare();
  } catch (error) {
    movable.stay();
    throw run.failed(error, false);
  }
  try {
    await run.send();
  } catch (error) {
    throw run.failed(error, true);
  } finally {
    run.end();
  }
}

/** What a giver hears: of the other process, or that a socket could not be sent there. */
type Answer = Message | { readonly type: 'unsent' };

class Giving {
  readonly #movable: Movable;
  readonly #channel: Channel;
  readonly #timeout: number;
  readonly #to: string | undefined;
  /** Drawn for this hand-over. */
  readonly #name = randomBytes(NAME_LENGTH);
  readonly #inbox = new Inbox<Answer>();
  readonly #deadline = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #takerKey: Uint8Array | undefined;
  #state: Uint8Array | undefined;

  constructor(movable: Movable, channel: Channel, { timeout = 10_000, to }: GiveOptions) {
    this.#movable = movable;
    this.#channel = channel;
    this.#timeout = timeout;
    this.#to = to;
    channel.on('message', this.#onMessage);
    channel.on('close', this.#onClose);
    if (channel.closed) this.#onClose();
  }

  /** Sends the sockets ahead, then takes the state. If this throws, the session goes on here. */
  async prepare(): Promise<void> {
    this.#setDeadline();
    const { kind } = this.#movable;
    this.#say({
      type: 'hand-over.offer',
      name: this.#text,
      version: VERSION,
      kind,
      ...(this.#to !== undefined && { to: this.#to }),
    });
    const { key } = await this.#answer('hand-over.ready');
    this.#takerKey = Buffer.from(key, 'base64');
    const places = new Map<Socket, number>();
    while (this.#state === undefined) {
      await this.#movable.ready(this.#deadline.signal);
      // From here to `handOver` nothing may be waited for.
      const missing = this.#movable.sockets.filter((socket) => !places.has(socket));
      if (missing.length === 0) await this.#takeState(places);
      else for (const socket of missing) await this.#sendAhead(socket, places);
    }
  }

  async #takeState(places: ReadonlyMap<Socket, number>): Promise<void> {
    if (this.#channel.closed || this.#deadline.signal.aborted) throw new Error('it is too late');
    try {
      this.#state = this.#movable.handOver(this.#name, (socket) => places.get(socket) as number);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_KEYMUX_HAND_OVER') throw error;
      await setImmediate(); // something has come up; it is waited for again
    }
  }

  async #sendAhead(socket: Socket, places: Map<Socket, number>): Promise<void> {
    const handle = handleOf(socket);
    if (handle === undefined) return setImmediate(); // closed just now: whoever has it hears of that in a turn, and asks no more for it
    const place = places.size;
    if (place === MAX_SOCKETS) throw new Error('it has too many connections');
    this.#channel.send({ type: 'hand-over.socket', name: this.#text, place }, handle, (error) => {
      if (error) this.#inbox.put({ type: 'unsent' });
    });
    const { type } = await this.#answer('hand-over.have', 'unsent');
    if (type === 'hand-over.have') places.set(socket, place);
    else if (handleOf(socket) !== undefined) throw new Error('a connection could not be sent');
    else await setImmediate(); // closed while others were sent before it: as above
  }

  /** Sends the state. From the first part on nobody but the taker can go on with the session. */
  async send(): Promise<void> {
    this.#setDeadline();
    const state = this.#state as Uint8Array;
    const sealer = sealTo(this.#name, this.#takerKey as Uint8Array);
    const parts = Math.max(1, Math.ceil(state.length / PART_LENGTH));
    for (let part = 0; part < parts; part++) {
      const last = part === parts - 1;
      const plain = state.subarray(part * PART_LENGTH, (part + 1) * PART_LENGTH);
      const sealed = sealer.seal(part, last, plain);
      const bytes = part === 0 ? Buffer.concat([sealer.publicKey, sealed]) : Buffer.from(sealed);
      this.#say({ type: 'hand-over.state', name: this.#text, part, last, bytes: bytes.toString('base64') });
    }
    state.fill(0);
    await this.#answer('hand-over.taken');
  }

  failed(error: unknown, lost: boolean): HandOverError {
    this.#state?.fill(0);
    this.#say({ type: 'hand-over.withdrawn', name: this.#text });
    this.end();
    const fate = lost ? 'it is not known who has it' : 'it goes on where it was';
    return new HandOverError(`the session was not handed over: ${(error as Error).message}; ${fate}`, lost, {
      cause: error,
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#channel.off('message', this.#onMessage);
    this.#channel.off('close', this.#onClose);
  }

  get #text(): string {
    return this.#name.toString('hex');
  }

  readonly #onMessage = (message: Message): void => {
    if (message.name === this.#text) this.#inbox.put(message);
  };

  readonly #onClose = (): void => this.#fail(new Error('the channel to the other process is closed'));

  #fail(error: Error): void {
    this.#inbox.fail(error);
    this.#deadline.abort(error);
  }

  #setDeadline(): void {
    clearTimeout(this.#timer);
    const error = new Error(`it took longer than ${this.#timeout} ms`);
    this.#timer = setTimeout(() => this.#fail(error), this.#timeout);
  }

  #say(message: Message): void {
    this.#channel.send(message);
  }

  /** The next message, which must be one of these. */
  async #answer<T extends Answer['type']>(...types: readonly T[]): Promise<Extract<Answer, { type: T }>> {
    const message = await this.#inbox.next();
    if (message.type === 'hand-over.refused') throw new Error(message.reason);
    if (!types.includes(message.type as T))
      throw new Error(`${message.type} came where ${types.join(' or ')} had to`);
    return message as Extract<Answer, { type: T }>;
  }
}
