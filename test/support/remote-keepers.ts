import type { Socket } from 'node:net';
import { encodeKeyNego } from '@keymux/frames';
import {
  type AuditEntry,
  connectUnix,
  KeeperServer,
  type KeeperServerOptions,
  RemoteKeeper,
} from '@keymux/keeper';
import type { KeyHolder, Step } from '@keymux/keys';
import { message, messagesIn } from './keeper-messages.ts';
import type { Scope } from './scope.ts';

/** A keeper behind a socket, and its log. */
export interface Served {
  readonly server: KeeperServer;
  readonly path: string;
  readonly audit: AuditEntry[];
}

export async function serveKeeper(
  scope: Scope,
  keeper: KeyHolder,
  options: Partial<KeeperServerOptions> = {},
  path?: string,
): Promise<Served> {
  const server = new KeeperServer({ keeper, ...options });
  const audit: AuditEntry[] = [];
  server.on('audit', (entry) => audit.push(entry));
  const place = path ?? (await scope.directory())('keeper.sock');
  await server.listen({ path: place });
  scope.defer(() => server.close());
  return { server, path: place, audit };
}

/** A process's end of it, as far as one can be in this process. */
export async function connectKeeper(scope: Scope, path: string, timeout = 9_500): Promise<RemoteKeeper> {
  const backoff = { least: 10, most: 40 };
  const keeper = await RemoteKeeper.connect({
    connect: (signal) => connectUnix(path, signal),
    timeout,
    backoff,
  });
  scope.defer(() => keeper.close());
  return keeper;
}

/** The same keeper through a socket. */
export async function throughSocket(scope: Scope, keeper: KeyHolder): Promise<RemoteKeeper> {
  return connectKeeper(scope, (await serveKeeper(scope, keeper)).path);
}

/** Somebody who speaks the keeper protocol, or does not, byte by byte. */
export class RawCaller {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#chunks.push(Buffer.from(chunk)));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  static async connect(scope: Scope, path: string): Promise<RawCaller> {
    const caller = new RawCaller(await connectUnix(path));
    scope.defer(() => caller.socket.destroy());
    return caller;
  }

  send(head: unknown, data: Uint8Array = new Uint8Array(0)): void {
    this.socket.write(message(head, data));
  }

  /** Heads of all messages so far, with the length of what came beside them. */
  get replies(): Record<string, unknown>[] {
    return messagesIn(Buffer.concat(this.#chunks));
  }

  /** The `index`th reply, once it is there. */
  async reply(index: number): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.replies[index];
      if (found !== undefined) return found;
      if (this.socket.destroyed) throw new Error('the keeper has closed the connection');
      await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), this.closed]);
    }
  }
}

export const CONTEXT = {
  role: 'initiator',
  initiator: 'client',
  depth: 0,
  keyId: 1,
  generation: 0,
  algorithm: 3,
} as const;

/** This side's message of a step, or what is given instead, as a whole KEY_NEGO frame of key 1. */
export function frameOf({ send }: Pick<Step, 'send'>, algorithm: number): Uint8Array {
  const { fin = false, data = new Uint8Array(0) } = send ?? {};
  return encodeKeyNego({ type: 'key-nego', keyId: 1, algorithm, fin, reject: false, retire: false, data });
}
