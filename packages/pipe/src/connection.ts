import { connect, type Socket } from 'node:net';
import type { SpipedKeeper, SpipedRole } from '@keymux/keys';
import { formatPipeAddress, type PipeAddress } from './address.ts';
import { PipeError } from './errors.ts';
import { shakeHands } from './handshake.ts';
import { type PlainSide, relay, type Traffic } from './relay.ts';

export interface PipeOptions {
  /** `client` takes in what is to be encrypted, `server` what is to be decrypted. */
  readonly role: SpipedRole;
  readonly keeper: SpipedKeeper;
  readonly target: PipeAddress;
  /** Local address to connect to the target from. */
  readonly bind?: { readonly host: string; readonly port: number } | undefined;
  /** Milliseconds for reaching the target, and again for the handshake; 5,000 by default. */
  readonly timeout?: number;
  /** TCP keep-alive, with the system's intervals; on by default. */
  readonly keepAlive?: boolean;
}

/** Carries an unencrypted side, such as standard input and output, to the target, as spipe does. The role must be `client`. */
export async function pipeStreams(
  plain: PlainSide,
  options: PipeOptions,
  traffic: Traffic = { sent: 0, received: 0 },
): Promise<void> {
  const opened = new Opened();
  opened.add(plain.input);
  opened.add(plain.output);
  try {
    const wire = opened.add(await reach(options));
    const packets = await inTime(wire, options, shakeHands(wire, 'client', options.keeper));
    await relay(plain, wire, packets, traffic);
  } catch (error) {
    opened.reset();
    throw error;
  }
}

/** Carries a socket that was accepted to the target, as spiped does; in both roles. */
export async function pipeSocket(
  source: Socket,
  options: PipeOptions,
  traffic: Traffic = { sent: 0, received: 0 },
): Promise<void> {
  if (options.role === 'client') return pipeStreams({ input: source, output: source }, options, traffic);
  const opened = new Opened();
  opened.add(source);
  try {
    // Unlike spiped, the target is reached for peers only that have proven the key.
    const packets = await inTime(source, options, shakeHands(source, 'server', options.keeper));
    const target = opened.add(await reach(options));
    await relay({ input: target, output: target }, source, packets, traffic);
  } catch (error) {
    opened.reset();
    throw error;
  }
}

/** Connects to the target. */
function reach({ target, bind, timeout = TIMEOUT, keepAlive = true }: PipeOptions): Promise<Socket> {
  const local = bind && { localAddress: bind.host, localPort: bind.port };
  const socket = connect({ ...target, ...local, noDelay: true, keepAlive, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const place = formatPipeAddress(target);
      socket.destroy(
        new PipeError('ERR_KEYMUX_TIMEOUT', `${place} was not reached within ${timeout} milliseconds`),
      );
    }, timeout);
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** `work`, or a failure once time is up, whatever it waits for. */
function inTime<T>(wire: Socket, { timeout = TIMEOUT }: PipeOptions, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      const late = new PipeError(
        'ERR_KEYMUX_TIMEOUT',
        `the handshake was not finished within ${timeout} milliseconds; is the peer a spiped in the other role (-d here, -e there)?`,
      );
      wire.destroy(late);
      reject(late);
    }, timeout);
    work.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

/** What a connection has opened. */
class Opened {
  readonly #streams: (Socket | PlainSide['input'] | PlainSide['output'])[] = [];

  add<T extends Socket | PlainSide['input'] | PlainSide['output']>(stream: T): T {
    stream.on('error', () => undefined); // whoever waits for it learns of it
    this.#streams.push(stream);
    return stream;
  }

  /** A failure must not look like an end: where the socket can say so, it is reset. */
  reset(): void {
    for (const stream of this.#streams) {
      if ('resetAndDestroy' in stream && stream.remoteFamily !== undefined) stream.resetAndDestroy();
      else stream.destroy();
    }
  }
}

const TIMEOUT = 5_000;
