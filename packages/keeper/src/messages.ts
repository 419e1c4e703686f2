import { failureReasons, type KeyErrorCode, type KeyErrorScope } from '@keymux/keys';
import { z } from 'zod';

// The messages of the keeper protocol (spec 12.3). Both ends check what comes before they use it; an object with a field that is not
// named here is refused.

/** The versions of the protocol that this one speaks. */
export const VERSIONS: readonly number[] = [1];

/** Most bytes of a message behind its length, to the keeper and from it (spec 12.2). */
export const MAX_REQUEST = 16_384;
export const MAX_REPLY = 1_048_576;

/** Bytes of a run secret, S of spec 3.5. */
export const SECRET_LENGTH = 32;
/** Bytes of the keys that a handshake of spiped makes (spec 11.3). */
export const PIPE_KEYS_LENGTH = 128;

const byte = z.int().min(0).max(255);
const number = z.int().min(1).max(0xffffffff);
const role = z.enum(['initiator', 'responder']);
const text = (most: number) => z.string().max(most);

const contextSchema = z.strictObject({
  role,
  initiator: z.enum(['client', 'server']),
  depth: byte,
  keyId: byte,
  generation: byte,
  algorithm: byte,
  peerName: z.strictObject({ host: text(255), port: z.int().min(0).max(65_535) }).optional(),
  peerAddress: text(64).optional(),
});

const offerSchema = z.strictObject({
  offer: z.int().min(0).max(0xffffffff),
  label: text(64),
  authority: text(253),
});

const versions = z.array(z.int().min(1).max(65_535)).min(1).max(16).readonly();
const hello = z.strictObject({ type: z.literal('hello'), versions });
const start = z.strictObject({
  type: z.literal('start'),
  id: number,
  context: contextSchema,
  offer: offerSchema,
});
const accept = z.strictObject({ type: z.literal('accept'), id: number, context: contextSchema });
const receive = z.strictObject({ type: z.literal('receive'), id: number, run: number });
const pipe = z.strictObject({
  type: z.literal('pipe'),
  id: number,
  role: z.enum(['client', 'server']),
  label: text(64),
});
const abandon = z.strictObject({ type: z.literal('abandon'), run: number });

/** What a caller may say. */
export const requestSchema = z.discriminatedUnion('type', [hello, start, accept, pipe, receive, abandon]);
export type Request = z.output<typeof requestSchema>;
/** What is answered by `step`, `turn` or `failed`. */
export type Question = Exclude<Request, { type: 'hello' | 'abandon' }>;

/** What a caller may ask for. */
const holdings = {
  algorithms: z.array(byte).max(32).readonly(),
  kept: z
    .array(
      z.strictObject({
        label: text(64),
        authority: text(253),
        roles: z.array(role).max(2).readonly(),
        proves: z.enum(['key', 'identity', 'nobody']),
      }),
    )
    .readonly(),
  pipes: z.array(text(64)).readonly(),
};
const welcome = z.strictObject({ type: z.literal('welcome'), version: number, ...holdings });
const changed = z.strictObject({ type: z.literal('changed'), ...holdings });

const refused = z.strictObject({
  type: z.literal('refused'),
  reason: z.enum(['version', 'too-many']),
  versions,
});

const secretSchema = z.strictObject({
  generation: byte,
  directions: z.enum(['both', 'initiator']),
  early: z.boolean(),
  mayRepeat: z.literal(true).exactOptional(),
  confirmed: z.boolean(),
  level: z.enum(['none', 'passive', 'authenticated']),
  forwardSecrecy: z.boolean(),
  algorithm: byte,
  label: text(64),
  authority: text(253),
  peer: z.string(),
  identity: z.strictObject({ fingerprint: text(64), name: z.string() }).exactOptional(),
  restrictions: z
    .strictObject({ permitOpen: z.array(z.string()).readonly().exactOptional() })
    .exactOptional(),
});

const step = z.strictObject({
  type: z.literal('step'),
  id: number,
  run: number,
  done: z.boolean(),
  send: z.strictObject({ fin: z.boolean(), reject: z.boolean() }).exactOptional(),
  secrets: z.array(secretSchema).max(2),
});

const turn = z.strictObject({
  type: z.literal('turn'),
  id: number,
  run: number,
  awaits: z.int().min(0).max(1024),
  keys: z.boolean(),
});

const CODES = {
  ERR_KEYMUX_KEY_FAILURE: true,
  ERR_KEYMUX_IDS_EXHAUSTED: true,
  ERR_KEYMUX_KEY_EXHAUSTED: true,
  ERR_KEYMUX_KEY_UNKNOWN: true,
  ERR_KEYMUX_KEEPER_BUSY: true,
  ERR_KEYMUX_KEEPER_AWAY: true,
  ERR_KEYMUX_KEY_FILE: true,
  ERR_KEYMUX_IDENTITY: true,
  ERR_KEYMUX_TRUST_FILE: true,
  ERR_KEYMUX_HOST_KEY: true,
  ERR_KEYMUX_KEY_USAGE: true,
} as const satisfies Record<KeyErrorCode, true>;
const SCOPES = { session: true, usage: true } as const satisfies Record<KeyErrorScope, true>;

const failed = z.strictObject({
  type: z.literal('failed'),
  id: number,
  code: z.enum(Object.keys(CODES) as KeyErrorCode[]),
  scope: z.enum(Object.keys(SCOPES) as KeyErrorScope[]),
  reason: z.enum(failureReasons()).exactOptional(),
});

/** What the keeper may say. */
export const replySchema = z.discriminatedUnion('type', [welcome, changed, refused, step, turn, failed]);
export type Reply = z.output<typeof replySchema>;
export type Welcome = z.output<typeof welcome>;
export type Changed = z.output<typeof changed>;
export type TurnHead = z.output<typeof turn>;
export type StepHead = z.output<typeof step>;
export type SecretHead = z.output<typeof secretSchema>;
export type Failed = z.output<typeof failed>;
