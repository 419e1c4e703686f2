import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import {
  encodeControl,
  encodeSealedHead,
  type KeyNego,
  type StateReader,
  type StateWriter,
} from '@keymux/frames';
import type { KeyEvent, KeyInfo, KeyPort, ReceiveKey, Role, SendKey } from '@keymux/session';

type NegoFrame = Omit<KeyNego, 'type'>;

/** What a test may say about a key; the rest is that of an authenticated connection key. */
export interface FakeKeyOptions {
  readonly keyId: number;
  readonly generation?: number;
  readonly early?: boolean;
  readonly authority?: string;
  readonly level?: KeyInfo['level'];
  readonly forwardSecrecy?: boolean;
  readonly send?: boolean;
  readonly receive?: boolean;
  /** The key only seals, and has its level, once an envelope has opened. */
  readonly provenBy?: 'first envelope' | undefined;
  /** Both sides must name the same one. */
  readonly secret?: string;
  /** Envelopes after which the key seals nothing more. */
  readonly limit?: number;
  /** Instead of one of its own. */
  readonly switchKey?: Uint8Array;
}

/** Every (key, nonce) that was ever sealed with, to see that none comes twice (rule R3). */
const sealedWith = new Set<string>();

/** The algorithm of the runs that FakeKeys makes: one message from each side. */
export const FAKE_ALGORITHM = 9;

/**
 * A key registry for tests of the session: keys are installed by the test, or negotiated by a run of two messages that
 * proves nothing but takes both session digests into the key. Sealing is AES-256-GCM, with counters.
 */
export class FakeKeys implements KeyPort {
  readonly role: Role;
  /** Streams bound to each key, 0 for session frames. */
  readonly bound = new Map<number, Set<number>>();
  /** Depths that were set. */
  readonly depths: number[] = [];
  /** Messages of runs are only worked on when the test calls `finish`. */
  slow = false;
  closed = false;
  deadline: number | undefined;
  readonly #events: KeyEvent[] = [];
  readonly #senders = new Map<number, FakeSendKey>();
  readonly #receivers = new Map<string, FakeReceiveKey>();
  readonly #switchKeys = new Map<string, Uint8Array>();
  readonly #busy = new Set<number>();
  readonly #runs = new Map<number, { first: Uint8Array; initiatorDigest: Uint8Array; mine: boolean }>();
  readonly #work: (() => void)[] = [];
  readonly #world: string;

  /** @param world the same for both sides of a session, and only for them, so that keys of two tests differ */
  constructor(role: Role, world: string) {
    this.role = role;
    this.#world = world;
  }

  // For the test

  /** Makes a key usable and reports it. */
  install(options: FakeKeyOptions): void {
    const { keyId, send = true, receive = true } = options;
    const key = keyInfo(options);
    const secret = `${this.#world} ${options.secret ?? ''}`;
    if (send) {
      const previous = this.#senders.get(keyId);
      this.#senders.set(keyId, new FakeSendKey(key, secret, this.role, previous?.sealed, options.limit));
    }
    this.#switchKeys.set(
      `${keyId}/${key.generation}`,
      options.switchKey ?? sha256([Buffer.from(`${secret} ${keyId} ${key.generation} switch`)]),
    );
    const proven = { ...options, level: 'authenticated', send: true, receive: false } as const;
    const onFirst = options.provenBy && ((): void => this.install({ ...proven, provenBy: undefined }));
    if (receive)
      this.#receivers.set(`${keyId}/${key.generation}`, new FakeReceiveKey(key, secret, this.role, onFirst));
    this.#events.push({ type: 'established', key, send, receive });
  }

  /** Nothing of this key may be interpreted until `resume`. */
  stall(keyId: number): void {
    this.#busy.add(keyId);
  }

  resume(keyId: number): void {
    this.#busy.delete(keyId);
  }

  /** Begins a run of two messages. */
  negotiate(keyId: number): void {
    this.#events.push({ type: 'send', frame: message(keyId, 'first', false) });
  }

  /** Does the work that `slow` has put off. */
  finish(): void {
    for (const step of this.#work.splice(0)) step();
  }

  /** An envelope with nothing but RETIRE, sealed without asking the session. */
  forgeRetire(keyId: number): Uint8Array {
    const frame = encodeControl({ type: 'key-nego', ...this.retire(keyId) });
    const key = this.requireSender(keyId);
    const head = encodeSealedHead(keyId, key.generation, frame.length + 16);
    return Uint8Array.from(Buffer.concat([head, ...key.seal(head, [frame])]));
  }

  report(event: KeyEvent): void {
    this.#events.push(event);
  }

  /** Takes the sending half of a key away, as if it were used up. */
  forget(keyId: number): void {
    this.#senders.delete(keyId);
  }

  /** As if this side had not taken part in the run of this generation. */
  forgetSwitchKey({ keyId, generation }: { keyId: number; generation: number }): void {
    this.#switchKeys.delete(`${keyId}/${generation}`);
  }

  /** What a test seals by hand. */
  requireSender(keyId: number): SendKey {
    const key = this.#senders.get(keyId);
    if (key === undefined) throw new Error(`test: no key ${keyId} to seal with`);
    return key;
  }

  // KeyPort

  receive(frame: NegoFrame, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const { keyId } = frame;
    if (frame.retire) {
      for (const name of this.#receivers.keys()) {
        if (name.startsWith(`${keyId}/`)) this.#receivers.delete(name);
      }
      this.#events.push({ type: 'peer-retired', keyId });
      if (!this.#senders.has(keyId)) this.#events.push({ type: 'retired', keyId });
      return;
    }
    const work = (): void => this.#handle(keyId, Uint8Array.from(bytes), Uint8Array.from(digestBefore));
    if (!this.slow) {
      work();
      return;
    }
    this.#busy.add(keyId);
    this.#work.push(() => {
      this.#busy.delete(keyId);
      work();
    });
  }

  #handle(keyId: number, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const run = this.#runs.get(keyId);
    if (run === undefined) {
      this.#runs.set(keyId, { first: bytes, initiatorDigest: digestBefore, mine: false });
      this.#busy.add(keyId); // until the answer is on the wire
      this.#events.push({ type: 'send', frame: message(keyId, 'second', true) });
    } else {
      this.#establish(keyId, bytes, digestBefore);
    }
  }

  sent(keyId: number, bytes: Uint8Array, digestBefore: Uint8Array): void {
    const retire = ((bytes[4] as number) & 4) !== 0;
    if (retire) {
      this.#senders.delete(keyId);
      const receives = [...this.#receivers.keys()].some((name) => name.startsWith(`${keyId}/`));
      if (!receives) this.#events.push({ type: 'retired', keyId });
    } else if (!this.#runs.has(keyId))
      this.#runs.set(keyId, { first: bytes, initiatorDigest: digestBefore, mine: true });
    else {
      this.#busy.delete(keyId);
      this.#establish(keyId, bytes, digestBefore);
    }
  }

  #establish(keyId: number, second: Uint8Array, responderDigest: Uint8Array): void {
    const run = this.#runs.get(keyId);
    if (run === undefined) return;
    const parts = [run.first, second, run.initiatorDigest, responderDigest];
    this.install({ keyId, secret: hex(sha256(parts)) });
  }

  poll(): KeyEvent | undefined {
    return this.#events.shift();
  }

  busy(keyId: number): boolean {
    return this.#busy.has(keyId);
  }

  sender(keyId: number): SendKey | undefined {
    return this.#senders.get(keyId);
  }

  receiver(keyId: number, generation: number): ReceiveKey | undefined {
    return this.#receivers.get(`${keyId}/${generation}`);
  }

  confirmGeneration(keyId: number, generation: number): void {
    for (let older = 0; older < generation; older++) this.#receivers.delete(`${keyId}/${older}`);
  }

  info(keyId: number): KeyInfo | undefined {
    return this.#senders.get(keyId)?.info;
  }

  switchProof(keyId: number, generation: number, message: Uint8Array): Uint8Array | undefined {
    const key = this.#switchKeys.get(`${keyId}/${generation}`);
    return key && new Uint8Array(createHmac('sha256', key).update(message).digest());
  }

  setDepth(depth: number): void {
    this.depths.push(depth);
  }

  bind(keyId: number, streamId: number): void {
    const streams = this.bound.get(keyId) ?? new Set();
    this.bound.set(keyId, streams.add(streamId));
  }

  unbind(keyId: number, streamId: number): void {
    this.bound.get(keyId)?.delete(streamId);
  }

  canRetire(keyId: number): boolean {
    return this.#senders.has(keyId) && (this.bound.get(keyId)?.size ?? 0) === 0;
  }

  retire(keyId: number): NegoFrame {
    const nothing = new Uint8Array(0);
    return { keyId, algorithm: FAKE_ALGORITHM, fin: true, reject: false, retire: true, data: nothing };
  }

  get handOverObstacle(): string | undefined {
    if (this.#busy.size > 0 || this.#work.length > 0) return 'a key is busy';
    return this.#events.length > 0 ? 'its keys have news' : undefined;
  }

  /** Writes no key, but where `load` finds them: the counters go on, and this registry has none of them any more once it is closed. */
  save(writer: StateWriter): void {
    writer.u32(saved.push(this.takeSnapshot()) - 1);
  }

  static load(reader: StateReader): FakeKeys {
    const at = reader.u32();
    const snapshot = saved[at];
    if (snapshot === undefined) throw reader.malformed('these fake keys are not there');
    saved[at] = undefined;
    const keys = new FakeKeys(snapshot.role, snapshot.world);
    for (const [keyId, key] of snapshot.senders) keys.#senders.set(keyId, key);
    for (const [name, key] of snapshot.receivers) keys.#receivers.set(name, key);
    for (const [name, key] of snapshot.switchKeys) keys.#switchKeys.set(name, key);
    for (const [keyId, run] of snapshot.runs) keys.#runs.set(keyId, run);
    for (const [keyId, streams] of snapshot.bound) keys.bound.set(keyId, new Set(streams));
    return keys;
  }

  takeSnapshot() {
    return {
      role: this.role,
      world: this.#world,
      senders: [...this.#senders],
      receivers: [...this.#receivers],
      switchKeys: [...this.#switchKeys],
      runs: [...this.#runs],
      bound: [...this.bound],
    };
  }

  nextDeadline(): number | undefined {
    return this.deadline;
  }

  handleDeadline(now: number): void {
    if (this.deadline === undefined || now < this.deadline) return;
    this.deadline = undefined;
    const error = Object.assign(new Error('the run took too long'), { scope: 'session' as const });
    this.#events.push({ type: 'failed', keyId: 1, error });
  }

  drop(keyId: number): boolean {
    const known = this.#senders.delete(keyId);
    for (const name of this.#receivers.keys()) if (name.startsWith(`${keyId}/`)) this.#receivers.delete(name);
    return this.#runs.delete(keyId) || known;
  }

  close(): void {
    this.closed = true;
    this.#senders.clear();
    this.#receivers.clear();
  }
}

/** What registries have saved and none has loaded yet. */
const saved: (ReturnType<FakeKeys['takeSnapshot']> | undefined)[] = [];

class FakeSendKey implements SendKey {
  readonly info: KeyInfo;
  readonly previousSealed: number | undefined;
  readonly #key: Uint8Array;
  readonly #limit: number;
  sealed = 0;

  constructor(
    info: KeyInfo,
    secret: string,
    role: Role,
    previousSealed: number | undefined,
    limit = Number.POSITIVE_INFINITY,
  ) {
    this.info = info;
    this.previousSealed = previousSealed;
    this.#key = keyBytes(info, secret, role);
    this.#limit = limit;
  }

  get keyId(): number {
    return this.info.keyId;
  }

  get generation(): number {
    return this.info.generation;
  }

  seal(head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[] {
    if (this.sealed >= this.#limit) throw new Error('the key is used up');
    const nonce = nonceOf(this.sealed++);
    const use = `${hex(this.#key)} ${hex(nonce)}`;
    if (sealedWith.has(use)) throw new Error('test: a nonce was used twice under one key');
    sealedWith.add(use);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: 16 });
    cipher.setAAD(head);
    return [...parts.map((part) => cipher.update(part)), cipher.final(), cipher.getAuthTag()];
  }
}

class FakeReceiveKey implements ReceiveKey {
  info: KeyInfo;
  readonly #key: Uint8Array;
  readonly #onFirst: (() => void) | undefined;
  opened = 0;

  constructor(info: KeyInfo, secret: string, role: Role, onFirst: (() => void) | undefined) {
    this.info = info;
    this.#key = keyBytes(info, secret, role === 'client' ? 'server' : 'client');
    this.#onFirst = onFirst;
  }

  get keyId(): number {
    return this.info.keyId;
  }

  get generation(): number {
    return this.info.generation;
  }

  open(head: Uint8Array, body: Uint8Array): Uint8Array {
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonceOf(this.opened++), {
      authTagLength: 16,
    });
    decipher.setAAD(head);
    decipher.setAuthTag(body.subarray(-16));
    const plaintext = decipher.update(body.subarray(0, -16));
    decipher.final();
    if (this.opened === 1 && this.#onFirst) {
      this.info = { ...this.info, level: 'authenticated' };
      this.#onFirst();
    }
    return new Uint8Array(plaintext);
  }
}

/** SHA-256 for sessions under test. */
export function createSha256(): ReturnType<typeof createHash> {
  return createHash('sha256');
}

export function sha256(parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

function keyInfo(options: FakeKeyOptions): KeyInfo {
  return {
    keyId: options.keyId,
    generation: options.generation ?? 0,
    level: options.level ?? 'authenticated',
    early: options.early ?? false,
    algorithm: FAKE_ALGORITHM,
    label: 'fake',
    authority: options.authority ?? '',
    peer: 'peer',
    forwardSecrecy: options.forwardSecrecy ?? true,
  };
}

function keyBytes(info: KeyInfo, secret: string, sender: Role): Uint8Array {
  return sha256([Buffer.from(`${secret} ${info.keyId} ${info.generation} ${sender}`)]);
}

/** A new world for each pair of registries. */
export function newWorld(): string {
  return `world ${worlds++}`;
}

let worlds = 0;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function nonceOf(counter: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(counter), 4);
  return nonce;
}

function message(keyId: number, text: string, fin: boolean): NegoFrame {
  const data = new TextEncoder().encode(text);
  return { keyId, algorithm: FAKE_ALGORITHM, fin, reject: false, retire: false, data };
}
