import type { ListenOptions } from 'node:net';
import type { KeeperServer, PipeKeys } from '@keymux/keeper';
import { KeyError, type KeyHolder, LocalKeeper } from '@keymux/keys';
import { encodeResponse, type MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import type { Output } from '../output.ts';
import { paced } from '../paced.ts';
import type { Callers, Rights } from './callers.ts';
import { LINK_HOST, LINK_PORT } from './link.ts';

/** Milliseconds from the connection to the stream for the keeper: who is no caller is not to keep the place of one. */
const PATIENCE = 10_000;

/** Few peers, which all have something to prove at once. */
const LIMITS = { connections: 256, connectionsPerClient: 64, maxConcurrentStreams: 4 };

/** A caller from elsewhere, and what he may do. */
interface Caller {
  readonly session: MuxSession;
  readonly address: string;
  readonly keyId: number;
  rights: Rights;
}

/** One that came to nothing, and why. */
interface Call {
  readonly peer: string;
  readonly error: string;
}

const others = (calls: number): string => (calls > 1 ? ` (the last of ${calls} within ten seconds)` : '');

const NOTHING: Rights = { has: () => false, all: false };

export interface LinkServerOptions {
  readonly kept: LocalKeeper;
  readonly pipes: PipeKeys;
  readonly server: KeeperServer;
  readonly callers: Callers;
  readonly output: Output;
}

/** Takes calls to a keeper from other machines, each over a session of its own (spec 12.7). */
export class LinkServer {
  readonly #sessions: SessionServer;
  readonly #own: LocalKeeper;
  readonly #kept: LocalKeeper;
  readonly #pipes: PipeKeys;
  readonly #server: KeeperServer;
  /** Strangers can cause as many of these as they like. */
  readonly #sayFailed: (call: Call) => void;
  readonly #sayRefused: (call: Call) => void;
  #callers: Callers;
  readonly #links = new Set<Caller>();

  constructor({ kept, pipes, server, callers, output }: LinkServerOptions) {
    this.#kept = kept;
    this.#pipes = pipes;
    this.#server = server;
    this.#callers = callers;
    this.#sayFailed = paced((calls, call) =>
      output.log(
        { event: 'call-failed', calls, ...call },
        `${call.peer} could not call: ${call.error}${others(calls)}`,
      ),
    );
    this.#sayRefused = paced((calls, call) =>
      output.log(
        { event: 'call-refused', calls, ...call },
        `${call.peer} was refused: ${call.error}${others(calls)}`,
      ),
    );
    this.#own = new LocalKeeper(callers.holdings);
    this.#sessions = new SessionServer({
      keeper: this.#own,
      limits: LIMITS,
      config: { acceptEarly: () => false },
    });
    this.#sessions.on('session', (session, peer) => this.#greet(session, peer));
  }

  listen(options: ListenOptions): ReturnType<SessionServer['listen']> {
    return this.#sessions.listen(options);
  }

  /** Prepares to go on with other callers, or other rights of theirs; what is returned does it. Who has none any more is disconnected then. */
  async prepare(callers: Callers): Promise<() => void> {
    const links = await Promise.all(
      [...this.#links].map(async (link) => ({ link, rights: await rightsOf(callers, link) })),
    );
    const rightsNow = new Map(links.map(({ link, rights }) => [link, rights]));
    return () => {
      this.#own.replace(callers.holdings);
      this.#callers = callers;
      for (const link of this.#links) {
        // Also who has called meanwhile: he calls again.
        const rights = rightsNow.get(link);
        if (rights === undefined) link.session.destroy(new Error('it may not use this keeper any more'));
        else link.rights = rights;
      }
    };
  }

  /** Stops listening and ends the sessions. */
  async close(): Promise<void> {
    const closed = this.#sessions.close();
    for (const session of this.#sessions.sessions) session.destroy();
    await closed;
  }

  #greet(session: MuxSession, peer: string): void {
    const patience = setTimeout(
      () => session.destroy(new Error(`no call within ${PATIENCE} ms`)),
      PATIENCE,
    ).unref();
    let called = false;
    const call = async (stream: MuxStream): Promise<void> => {
      if (called) return this.#refuse(stream, peer, 'one call a session');
      called = true;
      const problem = await this.#answer(session, stream, peer).catch((error: Error) => error.message);
      called = problem === undefined;
      if (problem === undefined) clearTimeout(patience);
      else this.#refuse(stream, peer, problem);
    };
    session.on('stream', (stream) => {
      stream.holdUntil(call(stream).catch((error: Error) => stream.destroy(error)));
    });
    session.on('close', (error) => {
      clearTimeout(patience);
      if (called || error === undefined) return;
      this.#sayFailed({ peer, error: error.message });
    });
  }

  /** Lets a stream reach the keeper; resolves with the reason if it may not. */
  async #answer(session: MuxSession, stream: MuxStream, peer: string): Promise<string | undefined> {
    const { key, level, early } = stream.security.head;
    if (!isCall(stream)) return 'this is a keeper, and nothing else';
    // What it is answered has run secrets in it: sealed under a key that proves both, or nothing at all.
    if (
      key === undefined ||
      level !== 'authenticated' ||
      key.authority !== '' ||
      early ||
      stream.payloadOutside
    )
      return 'the call must be sealed with a key that proves both sides';
    const address = peer.slice(0, peer.lastIndexOf(':'));
    const callers = this.#callers;
    const rights = await rightsOf(callers, { session, address, keyId: key.keyId });
    if (rights === undefined) return 'this key may use nothing here';
    if (stream.destroyed || callers !== this.#callers) return 'it has gone, or its rights have just changed';
    const caller = { session, address, keyId: key.keyId, rights };
    this.#links.add(caller);
    stream.once('close', () => {
      this.#links.delete(caller);
      session.destroy();
    });
    stream.respond(encodeResponse(200, 'OK'));
    const [keeper, pipes] = [this.#keeperFor(caller), this.#pipesFor(caller)];
    this.#server.serve(stream, { name: key.peer, from: peer, keeper, pipes });
    return undefined;
  }

  /** What is kept, as far as the caller may use it when he begins a run. */
  #keeperFor(caller: Caller): KeyHolder {
    const kept = this.#kept.limitedTo((authority) => caller.rights.has(authority));
    return {
      get algorithms() {
        return kept.algorithms;
      },
      get kept() {
        return kept.kept;
      },
      start: async (context, offer) => {
        await this.#check(caller);
        return kept.start(context, offer);
      },
      accept: async (context, first) => {
        await this.#check(caller);
        return kept.accept(context, first);
      },
      receive: (run, frame) => kept.receive(run, frame),
      abandon: (run) => kept.abandon(run),
    };
  }

  /** Pipes are for no host, so their keys are for those only who may use all. */
  #pipesFor(caller: Caller): PipeKeys {
    const pipes = this.#pipes;
    return {
      get labels() {
        return caller.rights.all ? pipes.labels : [];
      },
      find: (label) => ({
        start: async (role) => {
          await this.#check(caller);
          const keeper = caller.rights.all ? pipes.find(label) : undefined;
          if (keeper === undefined)
            throw new KeyError(
              'ERR_KEYMUX_KEY_UNKNOWN',
              `there is no key ${JSON.stringify(label)} for pipes`,
            );
          return keeper.start(role);
        },
      }),
    };
  }

  /** Looks up anew what a caller may do. Rejects with KeyError if that cannot be found out now. */
  async #check(caller: Caller): Promise<void> {
    try {
      for (let callers: Callers | undefined; callers !== this.#callers; ) {
        callers = this.#callers;
        const rights = (await rightsOf(callers, caller)) ?? NOTHING;
        if (callers === this.#callers) caller.rights = rights; // else others have been read meanwhile
      }
    } catch (error) {
      throw new KeyError('ERR_KEYMUX_KEEPER_BUSY', 'what its callers may do cannot be read', {
        cause: error,
      });
    }
  }

  #refuse(stream: MuxStream, peer: string, problem: string): void {
    this.#sayRefused({ peer, error: problem });
    stream.respond(encodeResponse(403, 'Forbidden', [['keymux-reason', problem]]));
    stream.end();
    stream.resume();
  }
}

function rightsOf(callers: Callers, link: Omit<Caller, 'rights'>): Promise<Rights | undefined> {
  const key = link.session.key(link.keyId);
  return key === undefined ? Promise.resolve(undefined) : callers.rightsOf(key, link.address);
}

function isCall({ headers, unidirectional }: MuxStream): boolean {
  const value = (name: string): string | undefined => headers.find(([key]) => key === name)?.[1];
  return !unidirectional && value(':method') === 'CONNECT' && value(':path') === `${LINK_HOST}:${LINK_PORT}`;
}
