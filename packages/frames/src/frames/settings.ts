import { requireInteger } from '../checks.ts';
import { FLAG_CLEAR, LIMITS, TYPE } from '../constants.ts';
import { fieldMisuse, malformed } from '../errors.ts';
import type { Reader } from '../reader.ts';
import { controlFrame } from '../writer.ts';

/**
 * Tells the peer what this side expects of it (spec 1.2, 1.4).
 *
 *     n (32) | n times: entry flags (8), ID (24), value (32)
 *
 * Nothing is ever stored for a later session: a value that one server stores in a client and another reads back is
 * a tracking identifier. So `clear` and the entry flags are only reported.
 */
export interface Settings {
  readonly type: 'settings';
  readonly clear: boolean;
  /** All entries as received; `settingOf` knows which of two with the same ID counts. */
  readonly entries: readonly Setting[];
}

export interface Setting {
  /** 24 bits; see SETTING. */
  readonly id: number;
  readonly value: number;
  /** 0x01 PERSIST_VALUE, 0x02 PERSISTED; ignored. */
  readonly flags: number;
}

/** The value of `id`, if the frame has it. Of two entries with one ID the first counts (spec 1.2). */
export function settingOf(frame: Settings, id: number): number | undefined {
  return frame.entries.find((entry) => entry.id === id)?.value;
}

export function parseSettings(flags: number, body: Reader): Settings {
  const count = body.u32();
  // The length of the frame is under its limit already, so an equal count is too.
  if (body.remaining !== count * ENTRY_LENGTH) {
    throw malformed(`SETTINGS counts ${count} entries in ${body.remaining} bytes`);
  }
  const entries: Setting[] = [];
  while (body.remaining > 0) {
    const entryFlags = body.u8() & ENTRY_FLAGS;
    entries.push({ id: body.u24(), value: body.u32(), flags: entryFlags });
  }
  return { type: 'settings', clear: (flags & FLAG_CLEAR) !== 0, entries };
}

export function encodeSettings(frame: Settings): Uint8Array {
  const { clear, entries } = frame;
  requireInteger('number of SETTINGS entries', entries.length, 0, LIMITS.settingsEntries);
  if (new Set(entries.map((entry) => entry.id)).size < entries.length) {
    throw fieldMisuse('SETTINGS has two entries with the same ID; the receiver would ignore the second');
  }
  const frameFlags = clear ? FLAG_CLEAR : 0;
  const writer = controlFrame(TYPE.SETTINGS, frameFlags, 4 + entries.length * ENTRY_LENGTH).u32(
    entries.length,
  );
  for (const { id, value, flags } of entries) {
    requireInteger('SETTINGS ID', id, 0, 0xff_ffff);
    requireInteger('SETTINGS value', value, 0, 0xffff_ffff);
    requireInteger('SETTINGS entry flags', flags, 0, ENTRY_FLAGS);
    writer.u8(flags).u24(id).u32(value);
  }
  return writer.finish();
}

const ENTRY_LENGTH = 8;

/** The entry flags that SPDY/3.1 defines; other bits are ignored when received. */
const ENTRY_FLAGS = 0x03;
