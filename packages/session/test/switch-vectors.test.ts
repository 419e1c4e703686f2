import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HeaderList } from '@keymux/frames';
import { describe, expect, test } from 'vitest';
import { ScriptedPeer } from '../../../test/support/scripted-peer.ts';
import { expectFailure } from './support.ts';

interface Generation {
  readonly keyId: number;
  readonly generation: number;
}

interface CaseVector {
  readonly name: string;
  readonly from: 'client' | 'server';
  readonly question?: { readonly under: Generation; readonly headers: HeaderList; readonly frame: string };
  readonly before: readonly { under?: Generation; frames?: string[]; establish?: Generation }[];
  readonly streamId: number;
  readonly to: Generation;
  readonly frame: string;
}

interface RefusalVector {
  readonly case: string;
  readonly why: string;
  readonly frame: string;
  readonly lacks?: Generation;
}

interface SwitchVectors {
  readonly keys: readonly (Generation & { readonly switchKey: string })[];
  readonly cases: readonly CaseVector[];
  readonly refusals: readonly RefusalVector[];
}

const FILE = fileURLToPath(new URL('../../../spec/vectors/switch.json', import.meta.url));
const { keys, cases, refusals } = JSON.parse(readFileSync(FILE, 'utf8')) as SwitchVectors;
const unhex = (text: string): Buffer => Buffer.from(text, 'hex');

/** The receiver of the KEY_SWITCH, to which all has come that came before it. */
function receiverOf(vector: CaseVector): ScriptedPeer {
  const peer = new ScriptedPeer({ role: vector.from === 'client' ? 'server' : 'client', keys: true });
  // Connection keys where session frames are to move; else those of a host, which no session frame travels under.
  const authority = vector.streamId === 0 ? '' : 'host';
  const establish = ({ keyId, generation }: Generation): void => {
    const key = keys.find((one) => one.keyId === keyId && one.generation === generation);
    peer.establish({ keyId, generation, authority, switchKey: unhex(key?.switchKey ?? '') });
  };
  for (const key of keys) if (key.generation === 0) establish(key);
  if (vector.question !== undefined) {
    const { under, headers, frame } = vector.question;
    peer.session.open(headers, { keyId: under.keyId });
    const asked = peer.sees().find(({ type }) => type === 'syn-stream');
    expect(Buffer.from(asked?.bytes as Uint8Array).toString('hex')).toBe(frame);
  }
  for (const step of vector.before) {
    if (step.establish) establish(step.establish);
    const frames = Buffer.concat((step.frames ?? []).map(unhex));
    if (step.under?.keyId === 0) peer.receives(frames);
    else if (step.under) peer.seals(step.under.keyId, { type: 'raw', bytes: frames });
  }
  expect(peer.session.error).toBeUndefined();
  peer.sees();
  peer.events.length = 0;
  return peer;
}

describe('switch.json', () => {
  test('has many more refusals than frames that are taken', () => {
    expect(refusals.length).toBeGreaterThan(15 * cases.length);
    expect(new Set(refusals.map((one) => `${one.case} ${one.frame} ${one.lacks}`)).size).toBe(
      refusals.length,
    );
  });

  test.each(cases)('$name is taken', (vector) => {
    const peer = receiverOf(vector);
    const ping = { type: 'ping', id: vector.from === 'client' ? 9 : 10 } as const;
    const more = vector.streamId === 0 ? [ping] : [];
    peer.seals(vector.to.keyId, { type: 'raw', bytes: unhex(vector.frame) }, ...more);
    expect(peer.session.error).toBeUndefined();
    if (vector.streamId === 0) expect(peer.sees().some(({ type }) => type === 'ping')).toBe(true);
    else expect(peer.take('switched')).toMatchObject({ id: vector.streamId, key: vector.to });
  });

  test.each(refusals)('$case: $why', (refusal) => {
    const vector = cases.find(({ name }) => name === refusal.case) as CaseVector;
    const peer = receiverOf(vector);
    if (refusal.lacks) peer.keys.forgetSwitchKey(refusal.lacks);
    peer.seals(vector.to.keyId, { type: 'raw', bytes: unhex(refusal.frame) });
    expect(peer.find('switched')).toBeUndefined();
    expectFailure(peer, 'KEY_FAILURE');
  });
});
