import type { Duplex } from 'node:stream';
import { type KeyHolder, offerOf, type RunSecret, type Step } from '@keymux/keys';
import type { AccountVerdict, RequestAccount } from './account.ts';
import type { AuditEntry } from './audit.ts';
import { Channel } from './channel.ts';
import { failureOf, ProtocolError } from './errors.ts';
import {
  MAX_REQUEST,
  type Question,
  type Reply,
  requestSchema,
  type SecretHead,
  VERSIONS,
} from './messages.ts';

export interface CallerOptions {
  readonly keeper: KeyHolder;
  readonly from: string | undefined;
  readonly account: RequestAccount;
  /** Whether one more run may be in progress. */
  readonly mayBegin: () => boolean;
  /** Milliseconds for the first message. */
  readonly helloTimeout: number;
  readonly audit: (entry: Omit<AuditEntry, 'caller'>) => void;
  readonly onClose: () => void;
}

/** A run of the caller, in progress. */
interface Run {
  /** The number that the keeper knows it by; the caller has numbers of its own, so that it cannot speak of anybody else's runs. */
  readonly inner: number;
  busy: boolean;
}

/** The keeper's end of one connection. Whatever comes of a message, an exception included, stays in here. */
export class Caller {
  readonly #options: CallerOptions;
  readonly #channel: Channel;
  readonly #hello: NodeJS.Timeout;
  readonly #runs = new Map<number, Run>();
  #greeted = false;
  /** First steps that are being computed. */
  #beginning = 0;
  #lastRun = 0;
  #lastId = 0;
  #told = false;
  /** What it was last told that there is, as text. */
  #announced = '';

  constructor(duplex: Duplex, options: CallerOptions) {
    this.#options = options;
    this.#hello = setTimeout(() => {
      this.#channel.close(new ProtocolError(`no message within ${options.helloTimeout} ms`));
    }, options.helloTimeout).unref();
    this.#channel = new Channel(duplex, {
      most: MAX_REQUEST,
      waits: true,
      onMessage: (head, data) => this.#receive(head, data),
      onClose: (error) => this.#closed(error),
    });
    const { from } = options;
    options.audit({ event: 'connected', ...(from === undefined ? {} : { from }) });
  }

  /** Runs in progress. */
  get runs(): number {
    return this.#runs.size + this.#beginning;
  }

  close(): void {
    this.#channel.close(new Error('the keeper stops'));
  }

  /** Tells the caller what it may ask for, if that is something else than it was told before. */
  announce(): void {
    if (!this.#greeted) return;
    const holdings = this.#holdings();
    const text = JSON.stringify(holdings);
    if (text !== this.#announced) this.#send({ type: 'changed', ...holdings });
    this.#announced = text;
  }

  #receive(head: unknown, data: Uint8Array): void {
    const verdict = this.#options.account.count();
    if (verdict === 'overdrawn') throw new ProtocolError('more requests than a caller may send');
    const parsed = requestSchema.safeParse(head);
    if (!parsed.success) throw malformed();
    const request = parsed.data;
    if (request.type === 'hello') this.#welcome(request.versions, data);
    else if (!this.#greeted) throw new ProtocolError('a request before hello');
    else if (request.type === 'abandon') this.#abandon(request.run, data);
    else this.#ask(request, data, verdict);
  }

  #ask(request: Question, data: Uint8Array, verdict: AccountVerdict): void {
    if (request.id <= this.#lastId) throw new ProtocolError('a request with a number that was used before');
    this.#lastId = request.id;
    if (request.type === 'receive') this.#goOn(request, data);
    else this.#begin(request, data, verdict);
  }

  #welcome(versions: readonly number[], data: Uint8Array): void {
    if (this.#greeted) throw new ProtocolError('a second hello');
    if (data.length > 0) throw malformed();
    clearTimeout(this.#hello);
    this.#greeted = true;
    const version = VERSIONS.filter((known) => versions.includes(known)).at(-1);
    if (version === undefined) {
      this.#send({ type: 'refused', reason: 'version', versions: VERSIONS });
      throw new ProtocolError(`no version in common: it speaks ${versions.join(', ')}`);
    }
    const holdings = this.#holdings();
    this.#announced = JSON.stringify(holdings);
    this.#send({ type: 'welcome', version, ...holdings });
  }

  #holdings(): Pick<KeyHolder, 'algorithms' | 'kept'> {
    const { algorithms, kept } = this.#options.keeper;
    return { algorithms, kept };
  }

  #begin(request: Question & { type: 'start' | 'accept' }, data: Uint8Array, verdict: AccountVerdict): void {
    const { keeper, mayBegin, audit } = this.#options;
    const { id, context } = request;
    if (request.type === 'start' && data.length > 0) throw malformed();
    if (verdict !== 'may begin' || !mayBegin()) {
      if (!this.#told) audit({ event: 'busy' });
      this.#told = true;
      this.#send({ type: 'failed', id, code: 'ERR_KEYMUX_KEEPER_BUSY', scope: 'usage' });
      return;
    }
    this.#told = false;
    const first = Uint8Array.from(data);
    const offer = request.type === 'start' ? request.offer : offerOf(first);
    const run = ++this.#lastRun;
    this.#beginning++;
    audit({ event: 'begun', run, context, ...(offer === undefined ? {} : { offer }) });
    const answer =
      request.type === 'start'
        ? () => keeper.start(context, request.offer)
        : () => keeper.accept(context, first);
    void this.#answer(id, run, answer).finally(() => this.#beginning--);
  }

  #goOn({ id, run }: Question & { type: 'receive' }, data: Uint8Array): void {
    const known = this.#runs.get(run);
    // It is told when a run is over, and has nothing to say while the keeper works on it.
    if (known === undefined || known.busy) throw new ProtocolError('a message for a run that awaits none');
    known.busy = true;
    const frame = Uint8Array.from(data);
    void this.#answer(id, run, () => this.#options.keeper.receive(known.inner, frame));
  }

  #abandon(run: number, data: Uint8Array): void {
    if (data.length > 0) throw malformed();
    const known = this.#runs.get(run);
    if (known === undefined) return; // its end and the answer have crossed
    this.#forget(run, known);
    this.#options.audit({ event: 'abandoned', run });
  }

  /** Asks the keeper, and sends what it says. Never rejects. */
  async #answer(id: number, run: number, question: () => Promise<Step>): Promise<void> {
    const { keeper, audit } = this.#options;
    let step: Step | undefined;
    try {
      step = await question();
      if (this.#channel.closed) keeper.abandon(step.run);
      else this.#sendStep(id, run, step);
    } catch (error) {
      this.#runs.delete(run);
      const failure = failureOf(error);
      this.#send({ type: 'failed', id, ...failure });
      const problem = error instanceof Error ? error.message : 'the keeper failed without an error';
      audit({ event: 'refused', run, code: failure.code, problem });
    } finally {
      for (const { secret } of step?.secrets ?? []) secret.wipe();
    }
  }

  #sendStep(id: number, run: number, step: Step): void {
    const { done, send, secrets } = step;
    const { audit } = this.#options;
    if (done) this.#runs.delete(run);
    else this.#runs.set(run, { inner: step.run, busy: false });
    const answer = {
      ...({ type: 'step', id, run, done } as const),
      ...(send && { send: { fin: send.fin, reject: send.reject ?? false } }),
      secrets: secrets.map(headOf),
    };
    // First: what cannot be written down is not given out.
    if (send?.reject) audit({ event: 'rejected', run });
    for (const { peer, level } of secrets) audit({ event: 'key', run, peer, level });
    const bytes = secrets.map(({ secret }) => secret.use(copyOf));
    try {
      this.#send(answer, ...bytes, ...(send ? [send.data] : []));
    } finally {
      for (const copy of bytes) copy.fill(0);
    }
  }

  #send(reply: Reply, ...data: readonly Uint8Array[]): void {
    this.#channel.send(reply, ...data);
  }

  #forget(run: number, { inner }: Run): void {
    this.#runs.delete(run);
    this.#options.keeper.abandon(inner);
  }

  #closed(error: Error): void {
    const { audit, onClose } = this.#options;
    clearTimeout(this.#hello);
    for (const [run, known] of [...this.#runs]) this.#forget(run, known);
    if (error instanceof ProtocolError)
      audit({ event: 'violation', code: error.code, problem: error.message });
    audit({ event: 'disconnected' });
    onClose();
  }
}

/** What goes with a run secret, without it. */
function headOf({ secret: _, ...head }: RunSecret): SecretHead {
  return head;
}

/** In memory of its own. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

function malformed(): ProtocolError {
  return new ProtocolError('a message that breaks a rule of section 12.3');
}
