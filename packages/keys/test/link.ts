import { createHash, type Hash } from 'node:crypto';
import { loadMlKem } from '../src/crypto.ts';
import { AuthorizedKeys } from '../src/identity/authorized-keys.ts';
import { KnownHosts } from '../src/identity/known-hosts.ts';
import {
  ALGORITHM,
  formatPublicKey,
  Identities,
  type Keeper,
  KeyError,
  type KeyInfo,
  KeyRegistry,
  type KeyRegistryOptions,
  Keyring,
  LocalKeeper,
  type LocalKeeperOptions,
  type PeerName,
  PreSharedKey,
  type ReceiveKey,
  type RegistryEvent,
  type RunContext,
  type Step,
  type Trust,
} from '../src/index.ts';
import { decodeNego, encodeNego } from '../src/nego-frame.ts';
import { seeded } from './random.ts';
import { signerOf } from './signers.ts';

export const FILE = seeded('key file')(32);
export const LABEL = new PreSharedKey(FILE).label;
export const CLOCK = 1_700_000_000_000;

// Loading it takes longer than a link waits for a keeper.
await loadMlKem(seeded(''));

type Established = Extract<RegistryEvent, { type: 'established' }>;

/** The name under which clients know the server. */
export const PEER_NAME: PeerName = { host: 'a.example', port: 6121 };

/** Trusts the client and the server of a link, each for what it is. */
export const TRUST: Trust = {
  authorizedKeys: {
    name: 'authorized_keys',
    load: async () => new AuthorizedKeys(`${formatPublicKey(signerOf('client').identity)} alice`),
  },
  knownHosts: {
    name: 'known_hosts',
    load: async () => new KnownHosts(`[a.example]:6121 ${formatPublicKey(signerOf('server').identity)}`),
  },
};

export function identitiesOf(name: string, trust: Trust = TRUST): Identities {
  const identities = new Identities();
  for (const authority of ['', 'a.example']) {
    identities.add(signerOf(name), { authorities: [authority], trust });
  }
  return identities;
}

/**
 * A keeper that holds one key and one identity, for connections and for a.example, allows anonymous keys for both, and makes the same
 * choices for the same seed.
 */
export function keeperOf(seed: string, options: Partial<LocalKeeperOptions> = {}): LocalKeeper {
  const keyring = new Keyring();
  keyring.add(new PreSharedKey(FILE), { authorities: ['', 'a.example'] });
  const anonymous = ['', 'a.example'];
  const identities = identitiesOf(seed);
  const random = seeded(seed);
  return new LocalKeeper({ keyring, anonymous, identities, random, clock: () => CLOCK, ...options });
}

/** One side of a session, as far as keys are concerned: frames KEY_NEGO and keeps the digests, and does nothing else. */
export class Side {
  readonly registry: KeyRegistry;
  readonly sentDigest: Hash = createHash('sha256');
  readonly receivedDigest: Hash = createHash('sha256');
  readonly events: RegistryEvent[] = [];
  /** What it has put on the wire. */
  outbox: Uint8Array[] = [];

  readonly #steps = new Set<Promise<Step>>();

  constructor(role: 'client' | 'server', keeper: Keeper, options: Partial<KeyRegistryOptions> = {}) {
    const peerName = role === 'client' ? PEER_NAME : undefined;
    this.registry = new KeyRegistry({ role, keeper: this.#watched(keeper), peerName, ...options });
  }

  /** Handles what the registry has to say. */
  pump(): void {
    for (let event = this.registry.poll(); event !== undefined; event = this.registry.poll()) {
      this.events.push(event);
      if (event.type !== 'send') continue;
      const bytes = encodeNego(event.frame);
      const before = this.sentDigest.copy().digest();
      this.sentDigest.update(bytes);
      this.outbox.push(bytes);
      this.registry.sent(event.frame.keyId, bytes, before);
    }
  }

  /** Puts RETIRE on the wire. */
  retire(keyId: number): void {
    const bytes = encodeNego(this.registry.retire(keyId));
    this.outbox.push(bytes);
    this.registry.sent(keyId, bytes, new Uint8Array(32));
    this.pump();
  }

  /** Takes a frame off the wire. What cannot be parsed ends the session, as it would end a real one. */
  receive(bytes: Uint8Array, now = 0): void {
    const before = this.receivedDigest.copy().digest();
    this.receivedDigest.update(bytes);
    try {
      this.registry.receive(decodeNego(bytes), bytes, before, now);
    } catch (error) {
      if (!(error instanceof KeyError) || error.scope !== 'session') throw error;
      this.events.push({ type: 'failed', keyId: 0, error });
      this.registry.close();
    }
    this.pump();
  }

  /** Waits until the keeper has answered. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await Promise.allSettled(this.#steps);
      await new Promise(setImmediate);
      this.pump();
    }
  }

  /** The same keeper. Steps that it takes in threads are waited for; others it has taken after a turn of the event loop, or has a reason not to. */
  #watched(keeper: Keeper): Keeper {
    const inThreads = new Set<number>();
    const watch = async (inThread: boolean, step: Promise<Step>): Promise<Step> => {
      if (inThread) this.#steps.add(step);
      try {
        const done = await step;
        if (inThread) inThreads.add(done.run);
        return done;
      } finally {
        this.#steps.delete(step);
      }
    };
    return {
      algorithms: keeper.algorithms,
      start: (context, offer) => watch(usesThreads(context), keeper.start(context, offer)),
      accept: (context, first) => watch(usesThreads(context), keeper.accept(context, first)),
      receive: (run, frame) => watch(inThreads.has(run), keeper.receive(run, frame)),
      abandon: (run) => keeper.abandon(run),
    };
  }

  /** Receives frames one by one, each after the step before is done. */
  async play(frames: readonly Uint8Array[]): Promise<void> {
    for (const frame of frames) {
      await this.settle();
      this.receive(frame);
    }
    await this.settle();
  }

  get failure(): KeyError | undefined {
    for (const event of this.events) if (event.type === 'failed') return event.error;
    return undefined;
  }

  /** Keys that are established for more than early data. */
  get established(): Established[] {
    return this.events.filter((event) => event.type === 'established').filter((event) => !event.key.early);
  }

  rejections(): { reason: number; algorithms: readonly number[] }[] {
    return this.events.filter((event) => event.type === 'rejected');
  }
}

const usesThreads = ({ algorithm }: RunContext): boolean => algorithm === ALGORITHM.SPIPED;

/** A client and a server joined by a wire that a test can cut into. */
export class Link {
  readonly client: Side;
  readonly server: Side;
  /** Every frame as it was sent. */
  readonly frames: Uint8Array[] = [];
  /** What arrives instead of a frame; `index` counts the frames of both directions. */
  tamper: (frame: Uint8Array, index: number) => readonly Uint8Array[] = (frame) => [frame];

  constructor(client: Side, server: Side) {
    this.client = client;
    this.server = server;
  }

  /** Lets frames flow until nobody has anything to say. */
  async run(): Promise<void> {
    for (let quiet = 0; quiet < 2; ) {
      await this.client.settle();
      await this.server.settle();
      quiet = this.#move(this.client, this.server) + this.#move(this.server, this.client) > 0 ? 0 : quiet + 1;
    }
  }

  #move(from: Side, to: Side): number {
    const frames = from.outbox;
    from.outbox = [];
    for (const frame of frames) {
      const index = this.frames.push(frame) - 1;
      for (const arrived of this.tamper(frame, index)) to.receive(arrived);
    }
    return frames.length;
  }
}

export function link(
  options: {
    readonly client?: Partial<LocalKeeperOptions>;
    readonly server?: Partial<LocalKeeperOptions>;
    readonly registry?: Partial<KeyRegistryOptions>;
  } = {},
): Link {
  return new Link(
    new Side('client', keeperOf('client', options.client), options.registry),
    new Side('server', keeperOf('server', options.server), options.registry),
  );
}

/** A SEALED frame's first 10 bytes. */
export function sealedHead(keyId: number, generation: number, body: number): Uint8Array {
  const head = new Uint8Array(10);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0x80030053);
  view.setUint32(4, body + 2);
  head[8] = keyId;
  head[9] = generation;
  return head;
}

/** Seals `text` on one side and opens it on the other. `watch` sees the SEALED frame. */
export function passEnvelope(
  from: Side,
  to: Side,
  keyId: number,
  text: string,
  watch: (frame: Uint8Array) => void = () => undefined,
): string {
  const key = from.registry.sender(keyId);
  if (key === undefined) throw new Error(`key ${keyId} cannot send`);
  const plaintext = Buffer.from(text);
  const head = sealedHead(keyId, key.generation, plaintext.length + key.overhead);
  const body = Buffer.concat(key.seal(head, [plaintext]));
  watch(Buffer.concat([head, body]));
  const receiver: ReceiveKey | undefined = to.registry.receiver(keyId, key.generation);
  if (receiver === undefined) throw new Error(`key ${keyId} cannot receive`);
  const opened = Buffer.from(receiver.open(head, body)).toString();
  to.pump();
  return opened;
}

export function infoOf(side: Side, keyId: number): KeyInfo {
  const info = side.registry.info(keyId);
  if (info === undefined) throw new Error(`no key ${keyId}`);
  return info;
}
