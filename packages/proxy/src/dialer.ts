import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connectSocket, type Quota } from '@keymux/streams';
import type { Destination } from './authority.ts';
import type { DestinationPolicy } from './policy.ts';

const CODES = {
  400: 'ERR_KEYMUX_MALFORMED',
  403: 'ERR_KEYMUX_FORBIDDEN',
  405: 'ERR_KEYMUX_FORBIDDEN',
  502: 'ERR_KEYMUX_UNREACHABLE',
  503: 'ERR_KEYMUX_BUSY',
  504: 'ERR_KEYMUX_TIMEOUT',
} as const;

/** Why a CONNECT was not carried out, with the HTTP status that says so (spec 5.1). */
export class DialError extends Error {
  override readonly name = 'DialError';
  readonly code: (typeof CODES)[keyof typeof CODES];
  readonly status: keyof typeof CODES;

  constructor(status: keyof typeof CODES, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = CODES[status];
  }
}

export interface DialOptions {
  readonly policy: DestinationPolicy;
  /** For lookup and connecting together, in milliseconds. */
  readonly timeout: number;
  readonly lookup?: (host: string) => Promise<readonly { readonly address: string }[]>;
  readonly signal?: AbortSignal | undefined;
  /** Whose place it takes. A lookup cannot be cancelled, and counts until it is over even if nobody waits for it. */
  readonly client: string;
  readonly quota: Quota;
}

/**
 * Connects to a destination: resolves its name once, drops every address that the policy does not allow, and connects to the
 * remaining addresses themselves in their order, so that a second answer of the resolver cannot lead elsewhere. Throws DialError.
 */
export async function dial({ host, port }: Destination, options: DialOptions): Promise<Socket> {
  const { policy, quota, client } = options;
  if (!policy.mayName(host, port)) throw new DialError(403, `${host}:${port} is not allowed`);
  if (!quota.take(client)) throw new DialError(503, 'too many connections are being opened');
  const lookup = resolve(host, options);
  const socket = connectResolved({ host, port }, lookup, options);
  void Promise.allSettled([lookup, socket]).then(() => quota.release(client));
  return socket;
}

async function connectResolved(
  { host, port }: Destination,
  lookup: Promise<readonly string[]>,
  { policy, timeout, signal: gone }: DialOptions,
): Promise<Socket> {
  const end = performance.now() + timeout;
  // One controller and a timer that is cleared: AbortSignal.any and .timeout leave work to the garbage collector, and a timer for all the time.
  const over = new AbortController();
  const { signal } = over;
  const leave = (): void => over.abort(gone?.reason);
  if (gone?.aborted) leave();
  gone?.addEventListener('abort', leave, { once: true });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    over.abort();
  }, timeout).unref();
  try {
    const addresses = await abortable(lookup, signal);
    const allowed = addresses.filter((address) => policy.allows(host, address, port) !== undefined);
    if (allowed.length === 0)
      throw new DialError(403, `${host}:${port} is not allowed at the addresses it resolves to`);
    return await connectFirst(allowed, port, end, signal);
  } catch (error) {
    if (error instanceof DialError) throw error;
    if (late)
      throw new DialError(504, `${host}:${port} did not answer within ${timeout} ms`, { cause: error });
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === 'EMFILE' || code === 'ENFILE')
      throw new DialError(503, 'the proxy has no room for a connection', { cause: error });
    throw new DialError(502, `${host}:${port} cannot be reached: ${message}`, { cause: error });
  } finally {
    clearTimeout(timer);
    gone?.removeEventListener('abort', leave);
  }
}

async function resolve(host: string, options: DialOptions): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  const lookup = options.lookup ?? ((name: string) => systemLookup(name, { all: true, verbatim: true }));
  return (await lookup(host)).map(({ address }) => address);
}

/** Tries the addresses in turn. Each has an equal share of the time that is left, so that a silent one does not use it all up. */
async function connectFirst(
  addresses: readonly string[],
  port: number,
  end: number,
  signal: AbortSignal,
): Promise<Socket> {
  let failure: unknown;
  for (const [index, address] of addresses.entries()) {
    const left = addresses.length - index;
    const share = Math.max(1, Math.ceil((end - performance.now()) / left));
    const turn = left === 1 ? signal : AbortSignal.any([signal, AbortSignal.timeout(share)]);
    try {
      return await connectSocket({ host: address, port }, { signal: turn });
    } catch (error) {
      failure = error;
      signal.throwIfAborted();
    }
  }
  throw failure;
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolvePromise, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolvePromise, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
