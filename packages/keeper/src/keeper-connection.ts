import type { Duplex } from 'node:stream';
import { type KeyError, secretBytes } from '@keymux/keys';
import { Channel } from './channel.ts';
import { errorOf, keeperAway, ProtocolError } from './errors.ts';
import {
  type Changed,
  MAX_REPLY,
  PIPE_KEYS_LENGTH,
  type Question,
  type Reply,
  replySchema,
  SECRET_LENGTH,
  type StepHead,
  type TurnHead,
  VERSIONS,
  type Welcome,
} from './messages.ts';

type Heads = { readonly step: StepHead; readonly turn: TurnHead };

/** A step of a negotiation, or a turn of a handshake of spiped, as it came. Whoever gets it owns the bytes, and wipes the secrets. */
export interface Received<T extends keyof Heads> {
  readonly head: Heads[T];
  /** One for each of `head.secrets`; all keys of a pipe as one. */
  readonly secrets: readonly Uint8Array[];
  readonly data: Uint8Array;
}

export interface KeeperConnectionOptions {
  /** What the keeper is called in messages; may be empty. */
  readonly name: string;
  /** Milliseconds for each answer. */
  readonly timeout: number;
  /** The connection is over, whether it was welcomed or not; called once. */
  readonly onClose: (error: KeyError) => void;
  readonly onWelcome: (welcome: Welcome) => void;
  /** There is something else to ask for than before. */
  readonly onChange: (changed: Changed) => void;
}

interface Waiting {
  /** Of the answer. */
  readonly type: keyof Heads;
  readonly resolve: (answer: Received<keyof Heads>) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The caller's end of one connection to a keeper. */
export class KeeperConnection {
  readonly #options: KeeperConnectionOptions;
  readonly #channel: Channel;
  readonly #greeting: NodeJS.Timeout;
  readonly #waiting = new Map<number, Waiting>();
  /** Questions that nobody waits for any more. */
  readonly #late = new Set<number>();
  #welcomed = false;
  #lastId = 0;

  constructor(duplex: Duplex, options: KeeperConnectionOptions) {
    this.#options = options;
    this.#channel = new Channel(duplex, {
      most: MAX_REPLY,
      waits: false,
      onMessage: (head, data) => this.#receive(head, data),
      onClose: (error) => this.#closed(error),
    });
    this.#greeting = setTimeout(() => this.close(this.#unanswered()), options.timeout);
    this.#channel.send({ type: 'hello', versions: VERSIONS });
  }

  /** Rejects with KeyError. `type` is that of the answer. */
  async ask<T extends keyof Heads>(
    type: T,
    question: WithoutId<Question>,
    data?: Uint8Array,
  ): Promise<Received<T>> {
    const answer = await new Promise<Received<keyof Heads>>((resolve, reject) => {
      if (this.#channel.closed) return reject(keeperAway(this.#options.name, 'is not there'));
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        this.#late.add(id);
        reject(this.#unanswered());
      }, this.#options.timeout);
      this.#waiting.set(id, { type, resolve, reject, timer });
      this.#channel.send({ ...question, id }, ...(data ? [data] : []));
    });
    return answer as Received<T>;
  }

  abandon(run: number): void {
    this.#channel.send({ type: 'abandon', run });
  }

  close(error: Error): void {
    this.#channel.close(error);
  }

  #receive(head: unknown, data: Uint8Array): void {
    const parsed = replySchema.safeParse(head);
    if (!parsed.success) throw malformed();
    const reply = parsed.data;
    const isGreeting = reply.type === 'welcome' || reply.type === 'refused';
    if (this.#welcomed === isGreeting) throw malformed();
    if (reply.type !== 'step' && reply.type !== 'turn' && data.length > 0) throw malformed();
    if (reply.type === 'refused') throw new ProtocolError(refusal(reply));
    if (reply.type === 'welcome') this.#welcome(reply);
    else if (reply.type === 'changed') this.#options.onChange(reply);
    else this.#settle(reply, data);
  }

  #welcome(welcome: Welcome): void {
    if (!VERSIONS.includes(welcome.version)) throw malformed();
    clearTimeout(this.#greeting);
    this.#welcomed = true;
    this.#options.onWelcome(welcome);
  }

  #settle(reply: Reply & { type: 'step' | 'turn' | 'failed' }, data: Uint8Array): void {
    if (this.#late.delete(reply.id)) {
      if (reply.type !== 'failed' && !isLast(reply)) this.abandon(reply.run);
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) throw malformed();
    if (reply.type !== 'failed' && reply.type !== waiting.type) throw malformed();
    const answer = reply.type === 'failed' ? undefined : takeApart(reply, data);
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if (answer !== undefined) waiting.resolve(answer);
    else waiting.reject(errorOf(reply as Reply & { type: 'failed' }));
  }

  #closed(cause: Error): void {
    clearTimeout(this.#greeting);
    const error = keeperAway(this.#options.name, 'cannot be reached', cause);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
    this.#options.onClose(error);
  }

  #unanswered(): KeyError {
    const { name, timeout } = this.#options;
    return keeperAway(name, `does not answer within ${timeout} ms`);
  }
}

/** Whether the run is over. */
function isLast(head: StepHead | TurnHead): boolean {
  return head.type === 'step' ? head.done : head.awaits === 0;
}

/** Takes the data of an answer apart: its secrets, then what is to be sent. */
function takeApart(head: StepHead | TurnHead, data: Uint8Array): Received<keyof Heads> {
  const lengths = lengthsOf(head);
  const sends = head.type === 'turn' || head.send !== undefined;
  const secrets: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    if (data.length < at + length) throw malformed();
    // A copy in memory of its own, which `Secret.take` zeroes; the message itself is zeroed by the channel.
    const bytes = secretBytes(length);
    bytes.set(data.subarray(at, at + length));
    secrets.push(bytes);
    at += length;
  }
  if (!sends && data.length > at) throw malformed();
  return { head, secrets, data: Uint8Array.from(data.subarray(at)) };
}

/** Of the secrets in an answer. The keys of a pipe come with the last turn, and only with that. */
function lengthsOf(head: StepHead | TurnHead): readonly number[] {
  if (head.type === 'step') return head.secrets.map(() => SECRET_LENGTH);
  if (head.keys !== isLast(head)) throw malformed();
  return head.keys ? [PIPE_KEYS_LENGTH] : [];
}

function refusal({ reason, versions }: Reply & { type: 'refused' }): string {
  switch (reason) {
    case 'version':
      return `it speaks version ${versions.join(', ')} of the protocol, this process ${VERSIONS.join(', ')}; install the same version for both`;
    case 'too-many':
      return 'it has as many callers as it takes';
  }
}

function malformed(): ProtocolError {
  return new ProtocolError('the keeper sent a message that breaks a rule of chapter 12');
}
