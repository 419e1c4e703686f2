import { z } from 'zod';

// What giver, relay and taker say to each other (spec 13.12). All check what comes before they use it; an object with a field that is not named here is
// refused.

/** Of what is handed over: this format of messages, and of the state in them. Only equals understand each other. */
export const VERSION = 1;

/** Bytes of a name (spec 13.9), and of a public key. */
export const NAME_LENGTH = 16;
export const KEY_LENGTH = 32;
/** Bytes of state in a message, before they are sealed. */
export const PART_LENGTH = 128 * 1024;
const MAX_PARTS = 8192;
/** Sockets of a session: its carrier, and those of its tunnels. */
export const MAX_SOCKETS = 65_536;

const name = z.string().regex(/^[0-9a-f]{32}$/);
const place = z
  .int()
  .min(0)
  .max(MAX_SOCKETS - 1);
const text = (most: number) => z.string().max(most);
const base64 = (most: number) => z.base64().max(Math.ceil(most / 3) * 4);

const offer = z.strictObject({
  type: z.literal('hand-over.offer'),
  name,
  version: z.int().min(1).max(65_535),
  kind: text(64),
  /** Whom the giver means, for the relay. */
  to: text(64).exactOptional(),
});
const ready = z.strictObject({
  type: z.literal('hand-over.ready'),
  name,
  key: base64(KEY_LENGTH).length(Math.ceil(KEY_LENGTH / 3) * 4),
});
const socket = z.strictObject({ type: z.literal('hand-over.socket'), name, place });
const have = z.strictObject({ type: z.literal('hand-over.have'), name, place });
const state = z.strictObject({
  type: z.literal('hand-over.state'),
  name,
  part: z
    .int()
    .min(0)
    .max(MAX_PARTS - 1),
  last: z.boolean(),
  bytes: base64(KEY_LENGTH + PART_LENGTH + 16),
});
const taken = z.strictObject({ type: z.literal('hand-over.taken'), name });
const refused = z.strictObject({ type: z.literal('hand-over.refused'), name, reason: text(1024) });
const withdrawn = z.strictObject({ type: z.literal('hand-over.withdrawn'), name });

const messageSchema = z.discriminatedUnion('type', [
  offer,
  ready,
  socket,
  have,
  state,
  taken,
  refused,
  withdrawn,
]);
export type Message = z.output<typeof messageSchema>;
export type Offer = Extract<Message, { type: 'hand-over.offer' }>;

/** The message, if it is one of ours and as it has to be. */
export function parseMessage(value: unknown): Message | undefined {
  const parsed = messageSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}
