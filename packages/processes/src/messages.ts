import { z } from 'zod';

// What the admin and its children say to each other (spec 14.2). Both check what comes before they use it; an object with a field that is not
// named here is refused.

const name = z.string().min(1).max(64);
const text = z.string().max(65_536);
const id = z.int().min(1);

/** Where a service listens, as net.Server has it. */
const address = z.union([
  z.string().max(4_096),
  z.object({ address: z.string().max(255), family: z.string().max(16), port: z.int().min(0).max(65_535) }),
]);

const begin = z.strictObject({
  type: z.literal('begin'),
  /** The options of the command, as they were given. */
  settings: z.record(z.string(), z.unknown()),
});
/** Options that are to take the place of those: read what they name, and keep it for `apply`. */
const prepare = z.strictObject({ type: z.literal('prepare'), settings: z.record(z.string(), z.unknown()) });
/** What was prepared takes effect, or is forgotten. */
const apply = z.strictObject({ type: z.literal('apply'), accepted: z.boolean() });
const caller = z.strictObject({ type: z.literal('caller'), name });
const listen = z.strictObject({
  type: z.literal('listen'),
  /** Where that is, for errors. */
  place: z.strictObject({ address: z.string().max(4_096), port: z.int().min(0).max(65_535).exactOptional() }),
});
const link = z.strictObject({ type: z.literal('link'), id, found: z.boolean() });
const drain = z.strictObject({ type: z.literal('drain') });
/** Give all sessions to who takes them, drain the others, and end. */
const retire = z.strictObject({ type: z.literal('retire') });

/** What the admin may say. `caller` and `link` come with a connection, `listen` with what to listen with. */
export const orderSchema = z.discriminatedUnion('type', [
  begin,
  prepare,
  apply,
  caller,
  listen,
  link,
  drain,
  retire,
]);
export type Order = z.output<typeof orderSchema>;

/** From the keeper: for what it has keys. */
const kept = z
  .array(
    z.strictObject({
      label: z.string().max(64),
      authority: z.string().max(253),
      roles: z.array(z.enum(['initiator', 'responder'])).max(2),
      proves: z.enum(['key', 'identity', 'nobody']),
    }),
  )
  .exactOptional();
const ready = z.strictObject({ type: z.literal('ready'), kept });
const prepared = z.strictObject({ type: z.literal('prepared'), kept });
/** Why it cannot prepare that; everything stays as it was. */
const refused = z.strictObject({ type: z.literal('refused'), text });
const listening = z.strictObject({ type: z.literal('listening'), address });
const wantsLink = z.strictObject({ type: z.literal('wants-link'), id });
/** It cannot begin, or go on; `exitCode` is what the program should end with. */
const failed = z.strictObject({ type: z.literal('failed'), text, exitCode: z.int().min(1).max(255) });

/** What a child may say. */
export const reportSchema = z.discriminatedUnion('type', [
  ready,
  prepared,
  refused,
  listening,
  wantsLink,
  failed,
]);
export type Report = z.output<typeof reportSchema>;

/** Whether a message is of a hand-over (spec 13.12), which uses the same channel. */
export function isHandOver(message: unknown): boolean {
  const { type } = Object(message) as { type?: unknown };
  return typeof type === 'string' && type.startsWith('hand-over.');
}
