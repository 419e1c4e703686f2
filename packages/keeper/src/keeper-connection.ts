import type { Duplex } from 'node:stream';
import type { KeyError } from '@keymux/keys';
import { Channel } from './channel.ts';
import { errorOf, keeperAway, ProtocolError } from './errors.ts';
import {
  type Changed,
  MAX_REPLY,
  type Question,
  type Reply,
  replySchema,
  SECRET_LENGTH,
  type StepHead,
  VERSIONS,
  type Welcome,
} from './messages.ts';

/** A step as it came. Whoever gets it owns the bytes, and wipes the secrets. */
export interface ReceivedStep {
  readonly head: StepHead;
  /** One for each of `head.secrets`. */
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
  readonly resolve: (step: ReceivedStep) => void;
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

  /** Rejects with KeyError. */
  ask(question: WithoutId<Question>, data?: Uint8Array): Promise<ReceivedStep> {
    return new Promise((resolve, reject) => {
      if (this.#channel.closed) return reject(keeperAway(this.#options.name, 'is not there'));
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        this.#late.add(id);
        reject(this.#unanswered());
      }, this.#options.timeout);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#channel.send({ ...question, id }, ...(data ? [data] : []));
    });
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
    if (reply.type !== 'step' && data.length > 0) throw malformed();
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

  #settle(reply: Reply & { type: 'step' | 'failed' }, data: Uint8Array): void {
    if (this.#late.delete(reply.id)) {
      if (reply.type === 'step' && !reply.done) this.abandon(reply.run);
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) throw malformed();
    const step = reply.type === 'step' ? takeStep(reply, data) : undefined;
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if (step !== undefined) waiting.resolve(step);
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

/** Takes the data of a step apart: its secrets, each of 32 bytes, then what is to be sent. */
function takeStep(head: StepHead, data: Uint8Array): ReceivedStep {
  const length = head.secrets.length * SECRET_LENGTH;
  if (data.length < length || (head.send === undefined && data.length > length)) throw malformed();
  const secrets = head.secrets.map((_, index) => {
    // A copy in memory of its own, which `Secret.take` zeroes; the message itself is zeroed by the channel.
    const bytes = Buffer.allocUnsafeSlow(SECRET_LENGTH);
    bytes.set(data.subarray(index * SECRET_LENGTH, (index + 1) * SECRET_LENGTH));
    return bytes;
  });
  return { head, secrets, data: Uint8Array.from(data.subarray(length)) };
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
