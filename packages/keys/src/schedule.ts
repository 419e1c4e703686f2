import { ascii, concat } from './bytes.ts';
import { type AeadKey, aeadKey, hkdfExpand, hkdfExtract, lendAeadKey } from './crypto.ts';
import { Secret } from './secret.ts';
import type { StateSink, StateSource } from './state-port.ts';

/** Digests of what each side sent before its own first message of the run (spec 3.5, 3.6). */
export interface SessionDigests {
  /** D_I, 32 bytes. */
  readonly initiator: Uint8Array;
  /** D_R, 32 bytes; zero for early data, which is sealed before the responder's first message exists. */
  readonly responder: Uint8Array;
}

/** What seals or opens one direction of one generation. */
export interface DirectionKeys {
  readonly key: AeadKey;
  /** 12 bytes. */
  readonly iv: Uint8Array;
  /** 1 if the client seals with it, 2 if the server does. */
  readonly direction: number;
}

/** Sealing key of one generation and sending side (spec 3.5). */
export function directionKeys(
  secret: Secret,
  generation: number,
  sender: 'client' | 'server',
  digests: SessionDigests,
): DirectionKeys {
  const direction = sender === 'client' ? 1 : 2;
  const info = concat(SEAL, Uint8Array.of(0, generation, direction), digests.initiator, digests.responder);
  const material = secret.use((bytes) => hkdfExpand(bytes, info, KEY_LENGTH + IV_LENGTH));
  const keys = {
    key: aeadKey(material.subarray(0, KEY_LENGTH)),
    iv: Uint8Array.from(material.subarray(KEY_LENGTH)),
    direction,
  };
  material.fill(0);
  return keys;
}

export function saveDirectionKeys(writer: StateSink, { key, iv, direction }: DirectionKeys): void {
  lendAeadKey(key, (bytes) => writer.raw(bytes));
  writer.raw(iv);
  writer.u8(direction);
}

export function loadDirectionKeys(reader: StateSource): DirectionKeys {
  const bytes = reader.raw(KEY_LENGTH);
  const key = aeadKey(bytes);
  bytes.fill(0);
  return { key, iv: reader.raw(IV_LENGTH), direction: reader.u8() };
}

/** The exporter of one generation, 32 bytes (spec 3.5). */
export function exporterSecret(secret: Secret, digests: SessionDigests): Secret {
  const info = concat(EXPORTER, Uint8Array.of(0), digests.initiator, digests.responder);
  return secret.use((bytes) => Secret.take(hkdfExpand(bytes, info, KEY_LENGTH)));
}

/** What the next generation is chained to (spec 3.14), 32 bytes. */
export function renegotiationSecret(secret: Secret, digests: SessionDigests): Secret {
  const info = concat(RENEGOTIATION, Uint8Array.of(0), digests.initiator, digests.responder);
  return secret.use((bytes) => Secret.take(hkdfExpand(bytes, info, KEY_LENGTH)));
}

/** S of a generation that a renegotiation made: nobody has it who did not have the generation before (spec 3.14). */
export function chainedSecret(previous: Secret, run: Secret): Secret {
  return previous.use((salt) => run.use((input) => Secret.take(hkdfExtract(salt, input))));
}

/** By which one side proves to the other that it took part in the run of this generation, 32 bytes (spec 3.5, 4.5). */
export function switchKey(secret: Secret, digests: SessionDigests): Secret {
  const info = concat(SWITCH, Uint8Array.of(0), digests.initiator, digests.responder);
  return secret.use((bytes) => Secret.take(hkdfExpand(bytes, info, KEY_LENGTH)));
}

const SEAL = ascii('keymux/1 seal');
const EXPORTER = ascii('keymux/1 exporter');
const RENEGOTIATION = ascii('keymux/1 renegotiation');
const SWITCH = ascii('keymux/1 switch key');
const KEY_LENGTH = 32;
const IV_LENGTH = 12;
