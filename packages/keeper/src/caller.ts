import type { Duplex } from 'node:stream';
import { KeyError, type KeyHolder, offerOf, type SpipedKeeper, secretBytes } from '@keymux/keys';
import type { AccountVerdict, RequestAccount } from './account.ts';
import type { AuditEntry } from './audit.ts';
import { Channel } from './channel.ts';
import { failureOf, ProtocolError } from './errors.ts';
import { MAX_REQUEST, type Question, type Reply, requestSchema, VERSIONS, type Welcome } from './messages.ts';
import type { PipeKeys } from './pipe-keys.ts';
import { type Next, type Progress, stepProgress, turnProgress } from './progress.ts';

export interface CallerOptions {
  readonly keeper: KeyHolder;
  readonly pipes: PipeKeys;
  readonly from: string | undefined;
  readonly account: RequestAccount;
  /** Whether one more run may be in progress. */
  readonly mayBegin: () => boolean;
  /** Milliseconds for the first message. */
  readonly helloTimeout: number;
  readonly audit: (entry: Omit<AuditEntry, 'caller'>) => void;
  readonly onClose: () => void;
}

/** A run of the caller, in progress. The caller has numbers of its own, so that it cannot speak of anybody else's runs. */
interface Run {
  readonly next: Next;
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
    else if (this.#admits(request.id, verdict)) this.#begin(request, data);
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

  #holdings(): Pick<Welcome, 'algorithms' | 'kept' | 'pipes'> {
    const { keeper, pipes } = this.#options;
    return { algorithms: keeper.algorithms, kept: keeper.kept, pipes: pipes.labels };
  }

  /** Whether a run may be begun; if not, the caller is told so. */
  #admits(id: number, verdict: AccountVerdict): boolean {
    const { mayBegin, audit } = this.#options;
    if (verdict === 'may begin' && mayBegin()) {
      this.#told = false;
      return true;
    }
    if (!this.#told) audit({ event: 'busy' });
    this.#told = true;
    this.#send({ type: 'failed', id, code: 'ERR_KEYMUX_KEEPER_BUSY', scope: 'usage' });
    return false;
  }

  #begin(request: Exclude<Question, { type: 'receive' }>, data: Uint8Array): void {
    const { keeper, pipes, audit } = this.#options;
    if (request.type !== 'accept' && data.length > 0) throw malformed();
    const first = Uint8Array.from(data);
    const run = ++this.#lastRun;
    this.#beginning++;
    audit({ event: 'begun', run, ...purposeOf(request, first) });
    const step = async (): Promise<Progress> => {
      switch (request.type) {
        case 'start':
          return stepProgress(keeper, await keeper.start(request.context, request.offer));
        case 'accept':
          return stepProgress(keeper, await keeper.accept(request.context, first));
        case 'pipe':
          return turnProgress(request.label, await pipeFor(pipes, request.label).start(request.role));
      }
    };
    void this.#answer(request.id, run, step).finally(() => this.#beginning--);
  }

  #goOn({ id, run }: Question & { type: 'receive' }, data: Uint8Array): void {
    const known = this.#runs.get(run);
    // It is told when a run is over, and has nothing to say while the keeper works on it.
    if (known === undefined || known.busy) throw new ProtocolError('a message for a run that awaits none');
    const { next } = known;
    if (next.awaits !== undefined && next.awaits !== data.length) throw malformed();
    known.busy = true;
    const message = Uint8Array.from(data);
    void this.#answer(id, run, () => next.goOn(message));
  }

  #abandon(run: number, data: Uint8Array): void {
    if (data.length > 0) throw malformed();
    const known = this.#runs.get(run);
    if (known === undefined) return; // its end and the answer have crossed
    this.#forget(run, known);
    this.#options.audit({ event: 'abandoned', run });
  }

  /** Takes a step, and says what it has brought. Never rejects. */
  async #answer(id: number, run: number, step: () => Promise<Progress>): Promise<void> {
    const { audit } = this.#options;
    let progress: Progress | undefined;
    try {
      progress = await step();
      if (this.#channel.closed) progress.next?.forget();
      else this.#tell(id, run, progress);
    } catch (error) {
      this.#runs.delete(run);
      const failure = failureOf(error);
      this.#send({ type: 'failed', id, ...failure });
      const problem = error instanceof Error ? error.message : 'the keeper failed without an error';
      audit({ event: 'refused', run, code: failure.code, problem });
    } finally {
      for (const secret of progress?.secrets ?? []) secret.wipe();
    }
  }

  #tell(id: number, run: number, { head, secrets, data, audit, next }: Progress): void {
    if (next === undefined) this.#runs.delete(run);
    else this.#runs.set(run, { next, busy: false });
    // First: what cannot be written down is not given out.
    for (const entry of audit) this.#options.audit({ ...entry, run });
    const bytes = secrets.map((secret) => secret.use(copyOf));
    try {
      this.#send({ ...head, id, run }, ...bytes, ...(data ? [data] : []));
    } finally {
      for (const copy of bytes) copy.fill(0);
    }
  }

  #send(reply: Reply, ...data: readonly Uint8Array[]): void {
    this.#channel.send(reply, ...data);
  }

  #forget(run: number, { next }: Run): void {
    this.#runs.delete(run);
    next.forget();
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

/** What a run is for, for the audit log. */
function purposeOf(
  request: Exclude<Question, { type: 'receive' }>,
  first: Uint8Array,
): Pick<AuditEntry, 'context' | 'offer' | 'pipe'> {
  if (request.type === 'pipe') return { pipe: { role: request.role, label: request.label } };
  const offer = request.type === 'start' ? request.offer : offerOf(first);
  return { context: request.context, ...(offer === undefined ? {} : { offer }) };
}

function pipeFor(pipes: PipeKeys, label: string): SpipedKeeper {
  const found = pipes.find(label);
  if (found !== undefined) return found;
  throw new KeyError('ERR_KEYMUX_KEY_UNKNOWN', `there is no key ${JSON.stringify(label)} for pipes`);
}

/** In memory of its own. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = secretBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

function malformed(): ProtocolError {
  return new ProtocolError('a message that breaks a rule of section 12.3');
}
