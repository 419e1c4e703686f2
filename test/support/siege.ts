import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@keymux/client';
import { expect } from 'vitest';
import { Attacker } from './attacker.ts';
import { bodyOf, connectClient } from './library.ts';
import { after, KeymuxProcess } from './processes.ts';
import type { Scope } from './scope.ts';

const PROBE = new URL('./siege-probe.js', import.meta.url).href;

/** A young generation of 1 MiB: memory grows by what is held, and not by how much garbage a slow machine lets lie. */
const COLLECTED_SOON = '--max-semi-space-size=1';

/** Accounts earn nothing (spec 7.3): what a flood costs must not depend on how fast the machine is. */
export const NOTHING_EARNED: readonly string[] = [
  'pings',
  'settings',
  'resets',
  'idle',
  'window-updates',
].flatMap((account) => ['--limit', `${account}-per-second=0`]);

/** How a process fares, measured from inside. Sizes are bytes, times milliseconds. */
export interface Vitals {
  /** Resident memory now, and at its highest since the measurement began: the attack, or the start of the process. */
  readonly rss: number;
  readonly peak: number;
  /** What is in use of heap and buffers, right after a garbage collection. */
  readonly held: number;
  /** Of the event loop in that time. It grows with the load of the machine: compare with wide margins only. */
  readonly loopDelay: { readonly p99: number; readonly longest: number };
  /** The open streams of each open session, oldest first. */
  readonly streams: readonly number[];
}

/** What became of the requests of a bystander, and of the server. */
export interface Aftermath {
  readonly before: Vitals;
  readonly after: Vitals;
  /** Requests that were answered; the longest wait for one, in milliseconds; why others were not. */
  readonly served: number;
  readonly slowest: number;
  readonly failures: readonly unknown[];
}

/** Makes one request of its own and checks the answer. Throws if the service is not what it should be. */
export type Bystander = () => Promise<void>;

/** Who waits longer for an answer is not served, in milliseconds; nothing that is only slow may come near it. */
const PATIENCE = 20_000;
/** Between two requests of a bystander, in milliseconds. */
const PACE = 10;
/** Between two looks at what is still held, in milliseconds, and the bytes that count as less. */
const SETTLING = 100;
const NOTICEABLE = 2 ** 18;
/** The longest pause of the server's event loop: far above what an attack may cause, since the machine may be busy with other things. */
const STANDSTILL = 5_000;

/**
 * A `keymux` server in a process of its own that is measured from inside. Tests of a file may share it:
 *
 *     const siege = await Siege.start(scope, ['origin', '--host', 'alpha.test']);
 *     const attacker = await siege.attacker(scope);
 *     const aftermath = await siege.during(bystanders, async () => { attacker.send(…); await attacker.closed; });
 *     expectUnharmed(aftermath, { growth: 16 * MIB });
 */
export class Siege {
  readonly server: KeymuxProcess;
  readonly #probe: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(server: KeymuxProcess, probe: Socket) {
    this.server = server;
    this.#probe = probe;
    this.#lines = createInterface({ input: probe })[Symbol.asyncIterator]();
  }

  /** Starts `keymux` with these arguments on a free port of loopback; resolves when it listens. `descriptors` is how many files it may have open. */
  static async start(
    scope: Scope,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    descriptors?: number,
  ): Promise<Siege> {
    const path = (await scope.directory())('probe');
    const options = `${process.env.NODE_OPTIONS ?? ''} ${COLLECTED_SOON} --import=${PROBE}`;
    const probed = { ...env, NODE_OPTIONS: options, MALLOC_ARENA_MAX: '2', SIEGE_PROBE: path };
    const server = await KeymuxProcess.start(scope, args, probed, {
      through: descriptors === undefined ? [] : after(`ulimit -n ${descriptors}`),
    });
    const probe = connect(path);
    scope.defer(() => probe.destroy());
    await once(probe, 'connect');
    return new Siege(server, probe);
  }

  get port(): number {
    return this.server.port;
  }

  get address(): string {
    return this.server.address;
  }

  /** Somebody who writes what he likes to the socket, and reads unless told otherwise. */
  attacker(scope: Scope, from?: string): Promise<Attacker> {
    return Attacker.connect(scope, this.port, from);
  }

  vitals(): Promise<Vitals> {
    return this.#ask('?');
  }

  /** As soon as the process lets go of nothing more: sockets end, and memory that is shared with the system is given back, in turns after those of a test. */
  async #settled(): Promise<Vitals> {
    for (let before = await this.vitals(); ; ) {
      await pause(SETTLING);
      const after = await this.vitals();
      if (after.held > before.held - NOTICEABLE) return after;
      before = after;
    }
  }

  async #ask(question: '?' | '!'): Promise<Vitals> {
    this.#probe.write(question);
    return JSON.parse((await this.#lines.next()).value as string) as Vitals;
  }

  /** Waits until the measurements are as described. */
  async until(description: (vitals: Vitals) => boolean): Promise<void> {
    while (!description(await this.vitals())) await pause(PACE);
  }

  /** Runs an attack while the bystanders go on making requests, each one at a time. */
  async during(bystanders: readonly Bystander[], attack: () => Promise<unknown>): Promise<Aftermath> {
    for (const request of bystanders) await request(); // what is needed for that is no growth
    const before = await this.#ask('!');
    const calls = bystanders.map((request) => new Calls(request));
    try {
      await attack();
    } finally {
      await Promise.all(calls.map((one) => one.stop()));
    }
    const after = await this.#settled();
    return {
      ...{ before, after },
      served: calls.reduce((sum, { served }) => sum + served, 0),
      slowest: Math.max(0, ...calls.map(({ slowest }) => slowest)),
      failures: calls.flatMap(({ failures }) => failures),
    };
  }
}

/** The requests of one bystander. */
class Calls {
  served = 0;
  slowest = 0;
  readonly failures: unknown[] = [];
  readonly #ended: Promise<void>;
  #stopped = false;

  constructor(request: Bystander) {
    this.#ended = this.#run(request);
  }

  /** Resolves when a request that began after the call is over, too. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  async #run(request: Bystander): Promise<void> {
    for (let last = false; !last; ) {
      last = this.#stopped;
      await this.#call(request);
      await pause(PACE);
    }
  }

  async #call(request: Bystander): Promise<void> {
    const since = performance.now();
    const late = new AbortController();
    const waited = pause(PATIENCE, undefined, { signal: late.signal }).then(
      () => Promise.reject(new Error(`no answer within ${PATIENCE} ms`)),
      () => undefined,
    );
    try {
      await Promise.race([request(), waited]);
      this.served++;
    } catch (error) {
      this.failures.push(error);
    } finally {
      late.abort();
      this.slowest = Math.max(this.slowest, performance.now() - since);
    }
  }
}

/** Two clients of an origin: one goes on in the session it has had before the attack, the other opens a session for each request. */
export async function regulars(scope: Scope, siege: Siege, host: string, path = '/'): Promise<Bystander[]> {
  const client = await connectClient(scope, siege.address);
  const ask = async (by: Client): Promise<void> => {
    const answer = await by.request({ host, path });
    const body = await bodyOf(answer);
    if (answer.status !== 200 || body === '') throw new Error(`status ${answer.status}, body "${body}"`);
  };
  return [() => ask(client), () => withFresh(siege, ask)];
}

/** Two clients of a proxy, with tunnels to a destination that sends everything back; one keeps its session, the other does not. */
export async function callers(scope: Scope, siege: Siege, destination: number): Promise<Bystander[]> {
  const client = await connectClient(scope, siege.address);
  const call = async (by: Client): Promise<void> => {
    const tunnel = await by.tunnel('127.0.0.1', destination);
    tunnel.end('are you there?');
    const echo = await text(tunnel);
    if (echo !== 'are you there?') throw new Error(`the echo is "${echo}"`);
  };
  return [() => call(client), () => withFresh(siege, call)];
}

async function withFresh(siege: Siege, use: (client: Client) => Promise<void>): Promise<void> {
  const fresh = await Client.connect(siege.address);
  try {
    await use(fresh);
  } finally {
    fresh.session.destroy();
  }
}

/** What the heap may have grown by until it is collected, and what may stay: code, caches. */
const GARBAGE = 64 * 2 ** 20;
const REST = 16 * 2 ** 20;

/**
 * The others have noticed nothing: every request was answered, the server never needed `growth` bytes more than before, and it holds next
 * to nothing of the attack now. Less than the default can be asked for only if no garbage lies around that long.
 */
export function expectUnharmed(aftermath: Aftermath, { growth = GARBAGE, rest = REST } = {}): void {
  const { before, after, served, failures } = aftermath;
  expect(failures).toEqual([]);
  expect(served).toBeGreaterThan(0);
  expect(after.peak - before.rss).toBeLessThan(growth);
  expect(after.held - before.held).toBeLessThan(rest);
  expect(after.loopDelay.longest).toBeLessThan(STANDSTILL);
}
