import type { ListenOptions } from 'node:net';
import type { KeeperServer, PipeKeys } from '@keymux/keeper';
import { LocalKeeper } from '@keymux/keys';
import { encodeResponse, type MuxSession, type MuxStream, SessionServer } from '@keymux/streams';
import type { Output } from '../output.ts';
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
  readonly #output: Output;
  #callers: Callers;
  readonly #links = new Set<Caller>();

  constructor({ kept, pipes, server, callers, output }: LinkServerOptions) {
    this.#kept = kept;
    this.#pipes = pipes;
    this.#server = server;
    this.#callers = callers;
    this.#output = output;
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
    return () => {
      this.#own.replace(callers.holdings);
      this.#callers = callers;
      for (const { link, rights } of links) {
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
    session.on('stream', (stream) => {
      const call = called ? Promise.resolve('one call a session') : this.#answer(session, stream, peer);
      stream.holdUntil(
        call.then((problem) => {
          if (problem !== undefined) return this.#refuse(stream, peer, problem);
          clearTimeout(patience);
          called = true;
        }),
      );
    });
    session.on('close', (error) => {
      clearTimeout(patience);
      if (called || error === undefined) return;
      this.#output.log(
        { event: 'call-failed', peer, error: error.message },
        `${peer} could not call: ${error.message}`,
      );
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
    const rights = await rightsOf(this.#callers, { session, address, keyId: key.keyId });
    if (rights === undefined) return 'this key may use nothing here';
    if (stream.destroyed) return 'it has gone';
    const caller = { session, address, keyId: key.keyId, rights };
    this.#links.add(caller);
    stream.once('close', () => {
      this.#links.delete(caller);
      session.destroy();
    });
    stream.respond(encodeResponse(200, 'OK'));
    const all = this.#pipes;
    const keeper = this.#kept.limitedTo((authority) => caller.rights.has(authority));
    const pipes: PipeKeys = {
      get labels() {
        return caller.rights.all ? all.labels : [];
      },
      find: (label) => (caller.rights.all ? all.find(label) : undefined),
    };
    this.#server.serve(stream, { name: key.peer, from: peer, keeper, pipes });
    return undefined;
  }

  #refuse(stream: MuxStream, peer: string, problem: string): void {
    this.#output.log({ event: 'call-refused', peer, error: problem }, `${peer} was refused: ${problem}`);
    if (stream.destroyed) return;
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
