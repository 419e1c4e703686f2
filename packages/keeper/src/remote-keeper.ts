import { randomInt } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import {
  encodeReject,
  type KeptKey,
  KeyError,
  type KeyHolder,
  type Offer,
  REJECT_REASON,
  type RunContext,
  Secret,
  type SpipedKeeper,
  type Step,
} from '@keymux/keys';
import { keeperAway, nameOfKeeper } from './errors.ts';
import { KeeperConnection, type Received } from './keeper-connection.ts';
import type { Welcome } from './messages.ts';
import { remoteTurn } from './remote-turn.ts';

export interface RemoteKeeperOptions {
  /** Opens a connection to the keeper. Rejects if there is none now. */
  readonly connect: (signal: AbortSignal) => Promise<Duplex>;
  /** What the keeper is called in messages, such as its address. */
  readonly name?: string;
  /** Milliseconds for each answer; 9,500 by default, less than a run may take and more than an ssh-agent may. */
  readonly timeout?: number;
  /** First and longest wait before the keeper is looked for again, in milliseconds; 100 and 5,000 by default. */
  readonly backoff?: { readonly least: number; readonly most: number };
}

interface RemoteKeeperEvents {
  /** The keeper has gone, or cannot be found. */
  away: [error: KeyError];
  /** It is there again. */
  back: [];
  /** It has other keys than before, so `kept` or `algorithms` says something else. */
  changed: [];
}

/** What there is to ask for. */
type Holdings = Pick<Welcome, 'algorithms' | 'kept' | 'pipes'>;

/** A run, with the connection that knows it. */
interface Run {
  readonly connection: KeeperConnection;
  readonly inner: number;
}

/**
 * A keeper in another process (spec chapter 12). While it is away, runs that this side begins fail with `ERR_KEYMUX_KEEPER_AWAY`, those of peers are
 * rejected, and it is looked for; nothing else of a session is touched.
 */
export class RemoteKeeper extends EventEmitter<RemoteKeeperEvents> implements KeyHolder {
  readonly #options: Required<RemoteKeeperOptions>;
  readonly #stop = new AbortController();
  readonly #runs = new Map<number, Run>();
  #connection: KeeperConnection | undefined;
  /** The last connection that was made, welcome or not. */
  #latest: KeeperConnection | undefined;
  #holdings: Holdings = { algorithms: [], kept: [], pipes: [] };
  #lastRun = 0;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;

  private constructor(options: RemoteKeeperOptions) {
    super();
    this.#options = { name: '', timeout: 9_500, backoff: { least: 100, most: 5_000 }, ...options };
  }

  /** Rejects with KeyError `ERR_KEYMUX_KEEPER_AWAY` if there is no keeper to begin with. */
  static async connect(options: RemoteKeeperOptions): Promise<RemoteKeeper> {
    const keeper = new RemoteKeeper(options);
    try {
      await keeper.#connect();
    } catch (error) {
      const { cause = error } = error as Error;
      const message = `${nameOfKeeper(keeper.#options.name)} cannot be reached; start it first, or correct where it is`;
      throw new KeyError('ERR_KEYMUX_KEEPER_AWAY', message, { cause });
    }
    return keeper;
  }

  /** What the keeper allows, or allowed when it was last there. */
  get algorithms(): readonly number[] {
    return this.#holdings.algorithms;
  }

  get kept(): readonly KeptKey[] {
    return this.#holdings.kept;
  }

  /** Labels of the keys that it has for connections of spiped. */
  get pipes(): readonly string[] {
    return this.#holdings.pipes;
  }

  /** What makes the keys of such connections with one of them. */
  pipe(label: string): SpipedKeeper {
    return {
      start: async (role) => {
        const connection = this.#there();
        return remoteTurn(connection, await connection.ask('turn', { type: 'pipe', role, label }));
      },
    };
  }

  async start(context: RunContext, offer: Offer): Promise<Step> {
    const connection = this.#there();
    return this.#step(connection, await connection.ask('step', { type: 'start', context, offer }));
  }

  async accept(context: RunContext, first: Uint8Array): Promise<Step> {
    try {
      const connection = this.#there();
      return this.#step(connection, await connection.ask('step', { type: 'accept', context }, first));
    } catch (error) {
      const reason = error instanceof KeyError ? REASONS.get(error.code) : undefined;
      if (reason === undefined) throw error;
      const data = encodeReject(reason, this.algorithms);
      return { run: ++this.#lastRun, send: { data, fin: true, reject: true }, secrets: [], done: true };
    }
  }

  async receive(run: number, frame: Uint8Array): Promise<Step> {
    const known = this.#runs.get(run);
    if (known === undefined) throw keeperAway(this.#options.name, 'was away, and does not know this run');
    this.#runs.delete(run);
    const { connection, inner } = known;
    return this.#step(connection, await connection.ask('step', { type: 'receive', run: inner }, frame), run);
  }

  abandon(run: number): void {
    const known = this.#runs.get(run);
    this.#runs.delete(run);
    known?.connection.abandon(known.inner);
  }

  /** Lets go of the keeper, for good. */
  close(): void {
    this.#stop.abort();
    clearTimeout(this.#retry);
    this.#latest?.close(new Error('closed by this side'));
  }

  #there(): KeeperConnection {
    if (this.#connection === undefined) throw keeperAway(this.#options.name, 'is away');
    return this.#connection;
  }

  #step(
    connection: KeeperConnection,
    { head, secrets, data }: Received<'step'>,
    run = ++this.#lastRun,
  ): Step {
    const { done, send } = head;
    if (!done) this.#runs.set(run, { connection, inner: head.run });
    return {
      ...{ run, done },
      secrets: head.secrets.map((secret, index) => ({
        ...secret,
        secret: Secret.take(secrets[index] as Uint8Array),
      })),
      ...(send && { send: { data, ...send } }),
    };
  }

  async #connect(): Promise<void> {
    const { connect, name, timeout } = this.#options;
    const { signal } = this.#stop;
    const duplex = await connect(AbortSignal.any([signal, AbortSignal.timeout(timeout)])).catch((error) => {
      throw keeperAway(name, 'cannot be reached', error);
    });
    await new Promise<void>((resolve, reject) => {
      const connection = new KeeperConnection(duplex, {
        ...{ name, timeout },
        onWelcome: (welcome) => {
          this.#connection = connection;
          this.#take(welcome);
          resolve();
        },
        onChange: (changed) => this.#take(changed),
        onClose: (error) => {
          reject(error); // without effect once it was welcome
          if (this.#connection === connection) this.#lost(error);
        },
      });
      this.#latest = connection;
      if (signal.aborted) connection.close(signal.reason);
    });
  }

  #take({ algorithms, kept, pipes }: Holdings): void {
    const before = JSON.stringify(this.#holdings);
    this.#holdings = { algorithms, kept, pipes };
    if (JSON.stringify(this.#holdings) !== before) this.emit('changed');
  }

  #lost(error: KeyError): void {
    this.#connection = undefined;
    this.#runs.clear();
    if (this.#stop.signal.aborted) return;
    this.#failures = 0;
    this.#lookAgain();
    this.emit('away', error);
  }

  /** Looks for the keeper after a while, which is longer each time and left to chance by half, so that not all processes come at once. */
  #lookAgain(): void {
    const { least, most } = this.#options.backoff;
    const full = Math.min(most, least * 2 ** this.#failures++);
    const wait = full / 2 + randomInt(Math.max(1, Math.ceil(full / 2)));
    this.#retry = setTimeout(() => {
      this.#connect().then(
        () => void this.emit('back'),
        () => {
          if (!this.#stop.signal.aborted) this.#lookAgain();
        },
      );
    }, wait).unref();
  }
}

/** How a peer's run is turned down if the keeper cannot be asked (spec 12.5). */
const REASONS = new Map<string, number>([
  ['ERR_KEYMUX_KEEPER_AWAY', REJECT_REASON.NOT_NOW],
  ['ERR_KEYMUX_KEEPER_BUSY', REJECT_REASON.TOO_MANY_RUNS],
]);
