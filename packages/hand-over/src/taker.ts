import type { Socket } from 'node:net';
import { type Moved, type SocketHandle, socketOf } from '@keymux/streams';
import type { Channel } from './channel.ts';
import { KEY_LENGTH, type Message, VERSION } from './messages.ts';
import { OneTimeKey } from './sealing.ts';

/** Goes on with what has come. What it throws is what the giver is told; then nobody has the session. */
export type Take = (moved: Moved) => void;

export interface TakerOptions {
  /** How long one hand-over may take, in milliseconds; 30,000 by default. Then its sockets are closed. */
  readonly timeout?: number;
}

/** Most hand-overs at a time; more are refused. */
const MAX_RUNS = 1024;

/** Takes sessions that come over a channel, each kind by a function of its own (spec 13.9). */
export class Taker {
  readonly #channel: Channel;
  readonly #kinds: ReadonlyMap<string, Take>;
  readonly #timeout: number;
  readonly #runs = new Map<string, Taking>();
  #refusal: string | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(
    channel: Channel,
    kinds: Readonly<Record<string, Take>>,
    { timeout = 30_000 }: TakerOptions = {},
  ) {
    this.#channel = channel;
    this.#kinds = new Map(Object.entries(kinds));
    this.#timeout = timeout;
    channel.on('message', (message, handle) => this.#receive(message, handle));
    channel.on('close', () => {
      for (const name of [...this.#runs.keys()]) this.#drop(name);
    });
  }

  /** Refuses what is offered from now on; what was accepted before is taken. */
  refuse(reason: string): void {
    this.#refusal = reason;
  }

  /** Resolves when nothing that was accepted is on its way any more: it was taken, or nothing comes of it. */
  async over(): Promise<void> {
    while (this.#runs.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #receive(message: Message, handle: SocketHandle | undefined): void {
    const run = this.#runs.get(message.name);
    if (message.type === 'hand-over.socket' && handle !== undefined && run !== undefined) {
      run.add(message.place, handle);
      this.#channel.send({ type: 'hand-over.have', name: message.name, place: message.place });
      return;
    }
    handle?.close();
    if (message.type === 'hand-over.offer') this.#accept(message);
    else if (message.type === 'hand-over.withdrawn') this.#drop(message.name);
    else if (message.type === 'hand-over.state' && run !== undefined) this.#add(run, message);
  }

  #accept({ name, version, kind }: Message & { type: 'hand-over.offer' }): void {
    const take = this.#kinds.get(kind);
    const obstacle = this.#refusal ?? this.#obstacle(name, version, take);
    if (obstacle !== undefined || take === undefined) {
      this.#refuse(name, obstacle ?? '');
      return;
    }
    const run = new Taking(
      take,
      setTimeout(() => this.#drop(name), this.#timeout),
    );
    this.#runs.set(name, run);
    const key = Buffer.from(run.publicKey).toString('base64');
    this.#channel.send({ type: 'hand-over.ready', name, key });
  }

  #obstacle(name: string, version: number, take: Take | undefined): string | undefined {
    if (version !== VERSION) return `it is of version ${version}, and ${VERSION} is known here`;
    if (take === undefined) return 'nothing here goes on with it';
    if (this.#runs.has(name)) return 'one of this name is being taken';
    return this.#runs.size < MAX_RUNS ? undefined : 'too many are being taken';
  }

  #add(run: Taking, { name, part, last, bytes }: Message & { type: 'hand-over.state' }): void {
    try {
      const taken = run.receive(Buffer.from(name, 'hex'), part, last, Buffer.from(bytes, 'base64'));
      if (!taken) return;
      // Before anything is written or read: that is for a later turn.
      this.#channel.send({ type: 'hand-over.taken', name });
    } catch (error) {
      this.#refuse(name, (error as Error).message.slice(0, 1024));
    }
    this.#drop(name);
  }

  #refuse(name: string, reason: string): void {
    this.#channel.send({ type: 'hand-over.refused', name, reason });
  }

  /** Ends a hand-over, and closes what nobody has taken of it. */
  #drop(name: string): void {
    const run = this.#runs.get(name);
    this.#runs.delete(name);
    run?.close();
    if (this.#runs.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** One hand-over: its key, and what has come. */
class Taking implements Omit<Moved, 'state'> {
  readonly #take: Take;
  readonly #timer: NodeJS.Timeout;
  readonly #key = new OneTimeKey();
  #open: ReturnType<OneTimeKey['opener']> | undefined;
  readonly #handles = new Map<number, SocketHandle>();
  readonly #sockets: Socket[] = [];
  #parts: Uint8Array[] = [];

  constructor(take: Take, timer: NodeJS.Timeout) {
    this.#take = take;
    this.#timer = timer;
  }

  get publicKey(): Uint8Array {
    return this.#key.publicKey;
  }

  add(place: number, handle: SocketHandle): void {
    this.#handles.get(place)?.close();
    this.#handles.set(place, handle);
  }

  /** Takes a part of the state; returns whether all is taken. Throws if it is not what was sealed, or nobody can go on with it. */
  receive(name: Uint8Array, part: number, last: boolean, bytes: Uint8Array): boolean {
    if (part !== this.#parts.length) throw new Error('a part of the state is missing');
    if (part === 0) this.#open = this.#key.opener(name, bytes.subarray(0, KEY_LENGTH));
    const sealed = part === 0 ? bytes.subarray(KEY_LENGTH) : bytes;
    this.#parts.push(this.#unseal(part, last, sealed));
    if (!last) return false;
    const state = Buffer.concat(this.#parts);
    this.#wipe();
    try {
      this.#take({ state, socket: (place) => this.socket(place) });
    } catch (error) {
      for (const socket of this.#sockets) socket.destroy();
      throw error;
    }
    return true;
  }

  socket(place: number): Socket {
    const handle = this.#handles.get(place);
    if (handle === undefined) throw new Error('a socket has not come');
    this.#handles.delete(place);
    const socket = socketOf(handle);
    this.#sockets.push(socket);
    return socket;
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const handle of this.#handles.values()) handle.close();
    this.#handles.clear();
    this.#wipe();
  }

  #unseal(part: number, last: boolean, sealed: Uint8Array): Uint8Array {
    try {
      if (this.#open === undefined) throw new Error('the first part says who has sealed it');
      return this.#open(part, last, sealed);
    } catch {
      throw new Error('the state is not what was sealed for this process');
    }
  }

  #wipe(): void {
    for (const part of this.#parts) part.fill(0);
    this.#parts = [];
  }
}
