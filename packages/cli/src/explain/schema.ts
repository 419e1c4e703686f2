import { z } from 'zod';

// The document of `keymux explain --json`; packages/cli/README.md describes it for people.

const source = z.object({
  /** An option as on the command line, without dashes. */
  option: z.string(),
  /** Its value as text; absent if it has none. */
  value: z.string().optional(),
  from: z.enum(['command line', 'environment', 'file', 'default']),
  /** Of the environment. */
  variable: z.string().optional(),
  /** Of the configuration file. */
  path: z.string().optional(),
  line: z.int().positive().optional(),
  property: z.string().optional(),
});

/** In any case, or only if the host prompts for its key, or only if it does not. */
const when = z.enum(['always', 'prompted', 'not prompted']);

const negotiated = z.object({
  id: z.int().min(1).max(255),
  algorithm: z.string(),
  /** Who is proven. */
  peer: z.string(),
});

const key = z.object({
  /** By which the rest of the document refers to it. */
  name: z.string(),
  with: z.string(),
  /** Whether it is made in any case, or only if the host prompts for it. */
  when: z.enum(['always', 'prompted']),
  /** Those that may be used, best first; the peer chooses by what it allows. */
  algorithms: z.array(z.string()).min(1),
  level: z.enum(['passive', 'authenticated']),
  /** Whether every algorithm that may be used has it. */
  forwardSecrecy: z.boolean(),
  proves: z.enum(['shared key', 'identity', 'nobody']),
  /** Travels in the clear. */
  label: z.string(),
  /** The host that the key is to speak for, which travels in the clear; empty for the proxy. */
  authority: z.string(),
  /** Where the keeper is that alone has the key. */
  keeper: z.string().optional(),
  /** Who this side is. The line must stand in the authorized_keys of the other side. */
  own: z.object({ identity: z.string(), line: z.string() }).optional(),
  /** The name that the other side has in known_hosts. */
  knownAs: z.string().optional(),
  /** The lines of known_hosts that decide who the other side may be. */
  known: z
    .array(
      z.object({
        path: z.string(),
        line: z.int().positive(),
        fingerprint: z.string(),
        revoked: z.boolean(),
      }),
    )
    .optional(),
  /** With --connect: what came of it. */
  negotiated: negotiated.optional(),
  decidedBy: z.array(source),
});

const wireName = z.enum(['wire 1', 'wire 2']);

const wire = z.object({
  name: wireName,
  from: z.string(),
  to: z.string(),
  /** What somebody who only listens gets, besides who talks to whom, when and how much. */
  sees: z.array(
    z.object({
      fact: z.enum(['destination', 'label', 'host', 'request', 'answer', 'payload', 'TLS handshake']),
      when,
      detail: z.string(),
      /** The key that a label or a host belongs to. */
      key: z.string().optional(),
    }),
  ),
});

const party = z.enum(['client', 'wire 1', 'proxy', 'wire 2', 'host']);

const message = z.object({
  what: z.string(),
  when,
  /** On each wire that it takes: names of the keys it is sealed with, the outer first; `TLS` is that of the program. */
  on: z.array(z.object({ wire: wireName, sealedWith: z.array(z.string()) })),
  /** Who can read it without doing more than listen. */
  readers: z.array(party),
  /** Who, besides, can read it by posing as a party that proves nothing. */
  impostors: z.array(party),
  /** Whether the client sends it, or uses what came; false if it is protected less than required. */
  used: z.boolean(),
});

export const explanationSchema = z.object({
  target: z.string(),
  /** What the options say, or what was negotiated just now. */
  basis: z.enum(['configuration', 'connection']),
  keys: z.array(key),
  wires: z.array(wire),
  messages: z.array(message),
  /** What else decided: where no key is used, and which way is taken. */
  decidedBy: z.array(source),
  notes: z.array(z.string()),
});

/** What `keymux explain` says of one target. */
export type Explanation = z.output<typeof explanationSchema>;
export type SourceStatement = z.output<typeof source>;
export type KeyStatement = z.output<typeof key>;
export type WireStatement = z.output<typeof wire>;
export type MessageStatement = z.output<typeof message>;
