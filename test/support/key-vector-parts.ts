import {
  cat,
  envelope,
  frame,
  generationKeys,
  H,
  longTermKeys,
  type RunInputs,
  type Transcribed,
  text,
} from './reference-keys.ts';

/** What the makers of test vectors share. */
export const ABOUT = [
  'Bytes are in hexadecimal, numbers in decimal.',
  'runs: complete runs. Each side draws its random values (`random`) in the order in which its messages need them; its clock stands at `clock` (milliseconds since 1970). transcripts: T_0, T_1, ... secrets: S of each generation, with the sealing keys for the session digests `digests`.',
  'refusals: the side `to` of the run `run` gets the messages of the other side in order, but `frame` in the place of message `message` (1 is F_1); if `repeat` is set, all right messages before and `frame` after them. `clock` replaces its clock.',
  'expect failure: session error KEY_FAILURE, whatever the cause; `why` is for people. expect reject: a REJECT with `reason`, and the session goes on. In no refusal is a key established.',
];

export const random = (name: string): Buffer => H(text(`keymux test vector: ${name}`));
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const KEY_FILE = random('key file');
const { label: LABEL } = longTermKeys(KEY_FILE);
export const CLOCK = 1_700_000_000_000;
export const FIN = 1;
export const REJECT = 2;
export const RETIRE = 4;

const base = { keyFile: KEY_FILE, label: LABEL, authority: '', depth: 0 } as const;
export const byClient = (offer: number): RunInputs => ({ ...base, offer, initiator: 'client', keyId: 1 });
export const byServer = (offer: number): RunInputs => ({
  ...base,
  offer,
  authority: 'shop.example:8443',
  depth: 1,
  initiator: 'server',
  keyId: 254,
});

/** The long-term key of all runs. */
export function keyPart() {
  const { K, Kpsk, label } = longTermKeys(KEY_FILE);
  return {
    keyFile: hex(KEY_FILE),
    K: hex(K),
    Kpsk: hex(Kpsk),
    label,
    authorities: ['', 'shop.example:8443'],
  };
}

export function runVector(
  name: string,
  algorithm: number,
  inputs: RunInputs,
  { frames, transcripts, secrets }: Transcribed,
  [initiator, responder]: [Buffer[], Buffer[]],
) {
  const { label, authority, offer, depth, keyId } = inputs;
  const digests = { initiator: random('D_I'), responder: random('D_R') };
  return {
    name,
    algorithm,
    initiator: inputs.initiator,
    depth,
    keyId,
    label,
    authority,
    offer,
    clock: CLOCK,
    random: { initiator: initiator.map(hex), responder: responder.map(hex) },
    frames: frames.map(hex),
    transcripts: transcripts.map(hex),
    digests: { initiator: hex(digests.initiator), responder: hex(digests.responder) },
    secrets: secrets.map((S, generation) => {
      const early = algorithm === 1 && generation === 0;
      const { client, server, exporter, switchKey } = generationKeys(
        S,
        generation,
        digests.initiator,
        early ? Buffer.alloc(32) : digests.responder,
      );
      const shown = ({ key, iv }: typeof client) => ({ key: hex(key), iv: hex(iv) });
      const both = { client: shown(client), server: shown(server), exporter: hex(exporter) };
      const direction = inputs.initiator === 'client' ? 1 : 2;
      const sealed = envelope(
        direction === 1 ? client : server,
        direction,
        keyId,
        generation,
        0n,
        text('a first frame'),
      );
      return {
        generation,
        early,
        S: hex(S),
        ...(early ? { [inputs.initiator]: both[inputs.initiator] } : both),
        switchKey: hex(switchKey),
        firstEnvelope: { plaintext: hex(sealed.plaintext), frame: hex(cat(sealed.head, sealed.body)) },
      };
    }),
    expect: 'established',
  };
}

export function refusal(run: string, to: 'initiator' | 'responder', message: number) {
  return (why: string, whole: Buffer | undefined) => ({
    run,
    to,
    message,
    why,
    frame: hex(whole ?? Buffer.alloc(0)),
    expect: 'failure',
  });
}

export function rejected<T extends object>(vector: T, reason: number) {
  return { ...vector, expect: 'reject', reason };
}

export function flip(bytes: Buffer, index: number, bits = 1): Buffer {
  const changed = Buffer.from(bytes);
  changed[index] = (changed[index] ?? 0) ^ bits;
  return changed;
}

/** The frame with some fields changed, and lengths that are right again. */
export function reframe(
  whole: Buffer,
  changes: { flags?: number; keyId?: number; algorithm?: number; data?: Uint8Array },
): Buffer {
  return frame(
    changes.keyId ?? whole[8] ?? 0,
    changes.algorithm ?? whole[9] ?? 0,
    changes.flags ?? whole[4] ?? 0,
    changes.data ?? whole.subarray(12),
  );
}
