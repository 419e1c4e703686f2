import { aeadKey } from './crypto.ts';
import { usageError } from './errors.ts';
import type { KeyInfo } from './key-info.ts';
import { Opener, type ReceiveKey } from './opener.ts';

/** What opens one direction of one generation of a key, for who is to see what travelled under it and nothing else. */
export interface KeyLogEntry {
  readonly keyId: number;
  readonly generation: number;
  /** The side that seals with it. */
  readonly from: 'client' | 'server';
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 12 bytes. */
  readonly iv: Uint8Array;
}

/** Hears of keys as they are made, and may ask for what opens them. Nobody should hear who does not have to. */
export type KeyLog = (key: KeyInfo, entry: () => KeyLogEntry) => void;

const LINE = /^keymux\/1 ([0-9]{1,3}) ([0-9]{1,3}) (client|server) ([0-9a-f]{64}) ([0-9a-f]{24})$/;

/** One line of a key log, without its end: `keymux/1 ID GENERATION client|server KEY IV`, the last two in hex. */
export function formatKeyLogEntry({ keyId, generation, from, key, iv }: KeyLogEntry): string {
  return `keymux/1 ${keyId} ${generation} ${from} ${hex(key)} ${hex(iv)}`;
}

/** Reads a key log. Empty lines and those that begin with `#` are passed over. Throws KeyError (usage) that names the line. */
export function parseKeyLog(text: string): KeyLogEntry[] {
  const entries: KeyLogEntry[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [, keyId, generation, from, key, iv] = LINE.exec(line) ?? [];
    const sound = key !== undefined && iv !== undefined && Number(keyId) <= 255 && Number(generation) <= 255;
    if (!sound) throw usageError(`line ${index + 1} of the key log is not one that keymux writes`);
    entries.push({
      ...{ keyId: Number(keyId), generation: Number(generation), from: from as 'client' | 'server' },
      ...{ key: Buffer.from(key, 'hex'), iv: Buffer.from(iv, 'hex') },
    });
  }
  return entries;
}

/** Opens the envelopes that were sealed with an entry's key, from the first one on. */
export function openLogged({ keyId, generation, from, key, iv }: KeyLogEntry): ReceiveKey {
  const direction = from === 'client' ? 1 : 2;
  return new Opener({ ...NOBODY, keyId, generation }, { key: aeadKey(key), iv, direction });
}

/** A log says what opens an envelope, not who has sealed it. */
const NOBODY: KeyInfo = {
  ...{ keyId: 0, generation: 0, level: 'none', early: false, algorithm: 0 },
  ...{ label: '', authority: '', peer: '', forwardSecrecy: false },
};

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
