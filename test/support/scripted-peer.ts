import {
  type ControlFrame,
  decodeHeaderBlock,
  encodeControl,
  encodeDataHead,
  encodeHeaderBlock,
  encodeSealedHead,
  FrameDecoder,
  HeaderCompressor,
  HeaderDecompressor,
  type HeaderList,
  type Item,
  type KeySwitch,
  type SynStream,
  TAG_LENGTH,
} from '@keymux/frames';
import { type Role, Session, type SessionConfig, type WindowShare } from '@keymux/session';
import { createSha256, type FakeKeyOptions, FakeKeys, newWorld, sha256 } from './fake-keys.ts';
import { End } from './session-pair.ts';

/** A header block as headers, or as plain bytes that may be wrong. */
interface ScriptBlock {
  headers?: HeaderList;
  block?: Uint8Array;
}

/** A frame as a test writes it: payload as text or bytes, and only the fields that matter. */
export type ScriptFrame =
  | ({ type: 'syn-stream'; streamId: number } & Partial<Omit<SynStream, 'type'>> & ScriptBlock)
  | ({ type: 'syn-reply' | 'headers'; streamId: number; fin?: boolean } & ScriptBlock)
  | { type: 'data'; streamId: number; payload?: string | Uint8Array; fin?: boolean }
  | { type: 'raw'; bytes: Uint8Array }
  | ScriptSwitch
  | Exclude<ControlFrame, { block: Uint8Array } | KeySwitch>;

/** `digest` is the plain one of spec 4.5. The previous key that the frame names is proven in its place, or what `proves` says. */
export type ScriptSwitch = KeySwitch & { proves?: Generation | 'nothing' };

interface Generation {
  readonly keyId: number;
  readonly generation: number;
}

/** A frame that the engine sent: `under` is the key ID of its envelope, 0 outside; `envelope` counts envelopes. */
export interface SeenFrame {
  readonly under: number;
  readonly envelope: number | undefined;
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface ScriptOptions {
  /** The role of the engine under test. */
  readonly role?: Role;
  readonly keys?: boolean;
  readonly config?: Partial<SessionConfig>;
  readonly windowShare?: WindowShare;
  readonly firstStreamId?: number;
}

export const HEADERS: HeaderList = [
  [':method', 'GET'],
  [':path', '/'],
];

/** An engine, and a peer that a test plays by hand: it sends exactly the frames it is told to, right or wrong. */
export class ScriptedPeer extends End {
  now = 1000;
  /** What the peer seals with. */
  readonly peerKeys: FakeKeys;
  /** The frames that the peer has sent outside envelopes, as session digests take them (spec 3.6). */
  readonly #sentOutside: Uint8Array[] = [];
  readonly #compressor = new HeaderCompressor();
  readonly #decompressor = new HeaderDecompressor();
  readonly #decoder = new FrameDecoder({ place: 'outside', sealed: true });
  #envelopes = 0;

  constructor(options: ScriptOptions = {}) {
    const { role = 'server', keys = false } = options;
    const world = newWorld();
    const engineKeys = new FakeKeys(role, world);
    const session = new Session({
      role,
      now: 1000,
      config: options.config ?? {},
      windowShare: options.windowShare,
      ...(keys ? { keys: engineKeys, createHash: createSha256 } : {}),
      ...(options.firstStreamId ? { firstStreamId: options.firstStreamId } : {}),
    });
    super(session, engineKeys);
    this.peerKeys = new FakeKeys(role === 'client' ? 'server' : 'client', world);
  }

  /** Sends frames outside envelopes, in one chunk. */
  sends(...frames: ScriptFrame[]): void {
    this.receives(Buffer.concat(frames.map((frame) => this.encode(frame))));
  }

  /** Sends frames in one envelope. */
  seals(keyId: number, ...frames: ScriptFrame[]): void {
    this.receives(this.envelope(keyId, ...frames));
  }

  /** Gives the engine bytes as they are. */
  override receives(bytes: Uint8Array, now = this.now): void {
    super.receives(bytes, now);
  }

  /** The bytes of a frame outside envelopes; they count as sent. */
  encode(frame: ScriptFrame): Uint8Array {
    const bytes = this.#bytes(frame, true);
    this.#sentOutside.push(frame.type === 'data' ? bytes.subarray(0, 8) : bytes);
    return bytes;
  }

  /** The bytes of an envelope; it counts as sent. */
  envelope(keyId: number, ...frames: ScriptFrame[]): Uint8Array {
    const key = this.peerKeys.requireSender(keyId);
    const bytesOf = (frame: ScriptFrame): Uint8Array =>
      this.#bytes(frame.type === 'key-switch' ? this.proven(frame, key) : frame, false);
    const plaintext = Buffer.concat(frames.map(bytesOf));
    const head = encodeSealedHead(keyId, key.generation, plaintext.length + TAG_LENGTH);
    this.#sentOutside.push(head);
    return Buffer.concat([head, ...key.seal(head, [plaintext])]);
  }

  /** The KEY_SWITCH as it goes into an envelope of `to`. */
  proven(frame: ScriptSwitch, to: Generation, sender: Role = this.peerKeys.role): KeySwitch {
    const { previousKeyId: keyId, previousGeneration: generation } = frame;
    const { proves = keyId === 0 ? 'nothing' : { keyId, generation }, ...fields } = frame;
    if (proves === 'nothing') return fields;
    return { ...fields, digest: switchProofOf(this.peerKeys, sender, fields, proves, to) };
  }

  /** The peer's session digest now. */
  get digest(): Uint8Array {
    return sha256(this.#sentOutside);
  }

  /** The KEY_SWITCH that moves the peer's session frames, `count` of them before. */
  controlSwitch(count: number, previous = { keyId: 0, generation: 0 }): ScriptSwitch {
    return {
      type: 'key-switch',
      streamId: 0,
      previousKeyId: previous.keyId,
      previousGeneration: previous.generation,
      count,
      digest: this.digest,
    };
  }

  /** Both sides get a key; the peer says nothing yet. */
  establish(options: FakeKeyOptions): void {
    this.keys.install(options);
    this.peerKeys.install(options);
    this.session.keysProgressed(this.now);
    this.poll();
  }

  /** All that the engine has sent since the last call. */
  sees(most?: number): SeenFrame[] {
    this.#decoder.push(Uint8Array.from(this.output(most)));
    const seen: SeenFrame[] = [];
    for (let item = this.#decoder.next(); item !== undefined; item = this.#decoder.next()) {
      if (item.kind === 'sealed') seen.push(...this.#open(item));
      else this.#see(seen, item, 0, undefined);
    }
    this.poll();
    return seen;
  }

  #open(item: Item & { kind: 'sealed' }): SeenFrame[] {
    const key = this.peerKeys.receiver(item.keyId, item.generation);
    if (key === undefined)
      throw new Error(`the engine seals under key ${item.keyId}, which the peer has not`);
    const inside = new FrameDecoder({ place: 'inside', sealed: true });
    inside.push(key.open(item.head, item.body));
    const seen: SeenFrame[] = [];
    this.#envelopes++;
    for (let inner = inside.next(); inner !== undefined; inner = inside.next()) {
      this.#see(seen, inner, item.keyId, this.#envelopes);
    }
    return seen;
  }

  #see(seen: SeenFrame[], item: Item, under: number, envelope: number | undefined): void {
    if (item.kind === 'data') {
      const last = seen.at(-1);
      if (!item.first && last !== undefined) {
        const payload = `${last.payload as string}${Buffer.from(item.payload).toString('latin1')}`;
        seen[seen.length - 1] = { ...last, payload, fin: item.fin };
        return;
      }
      const { streamId, fin, length } = item;
      const payload = Buffer.from(item.payload).toString('latin1');
      seen.push({ under, envelope, type: 'data', streamId, fin, length, payload });
      return;
    }
    if (item.kind !== 'control') return;
    const { frame } = item;
    if (!('block' in frame)) {
      seen.push({ under, envelope, ...frame });
      return;
    }
    const block = under === 0 ? this.#decompressor.decompress(frame.block) : frame.block;
    seen.push({ under, envelope, ...frame, bytes: item.bytes, headers: decodeHeaderBlock(block) });
  }

  #bytes(frame: ScriptFrame, outside: boolean): Uint8Array {
    switch (frame.type) {
      case 'raw':
        return frame.bytes;
      case 'data': {
        const payload = Buffer.from(frame.payload ?? '');
        return Buffer.concat([encodeDataHead(frame.streamId, frame.fin ?? false, payload.length), payload]);
      }
      case 'syn-stream':
        return encodeControl({
          associatedId: 0,
          priority: 3,
          slot: 0,
          fin: false,
          unidirectional: false,
          payloadOutside: false,
          ...frame,
          block: this.#block(frame, outside),
        });
      case 'syn-reply':
      case 'headers':
        return encodeControl({ fin: false, ...frame, block: this.#block(frame, outside) });
      default:
        return encodeControl(frame);
    }
  }

  #block({ block, headers = HEADERS }: ScriptBlock, outside: boolean): Uint8Array {
    const plain = block ?? encodeHeaderBlock(headers);
    return outside ? this.#compressor.compress(plain) : plain;
  }
}

/** The digest of KEY_SWITCH for a stream, straight from spec 4.5. */
export function switchDigestOf(
  streamId: number,
  clearFrames: readonly Uint8Array[],
  syn?: Uint8Array,
): Uint8Array {
  const id = Buffer.alloc(4);
  id.writeUInt32BE(streamId);
  return sha256([
    Buffer.from('keymux/1 switch\0'),
    id,
    sha256(clearFrames),
    syn === undefined ? Buffer.alloc(32) : sha256([syn]),
  ]);
}

/** The digest field where a key was before, straight from spec 4.5. `fields` has the plain digest. */
export function switchProofOf(
  keys: FakeKeys,
  sender: Role,
  fields: KeySwitch,
  previous: Generation,
  to: Generation,
): Uint8Array {
  const written = Buffer.alloc(16);
  written.writeUInt32BE(fields.streamId, 0);
  written.writeUInt8(fields.previousKeyId, 4);
  written.writeUInt8(fields.previousGeneration, 5);
  written.writeBigUInt64BE(BigInt(fields.count), 8);
  const message = Buffer.concat([
    Buffer.of(sender === 'client' ? 1 : 2),
    written,
    Buffer.of(to.keyId, to.generation),
    fields.digest,
  ]);
  const proof = keys.switchProof(previous.keyId, previous.generation, message);
  if (proof === undefined) throw new Error(`test: nobody holds key ${previous.keyId}`);
  return proof;
}
