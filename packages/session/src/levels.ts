import type { KeyInfo, KeyPort, Level } from './key-port.ts';

/** Which of two keys is the better connection key (spec 4.5). */
export function strength(key: KeyInfo): number {
  return LEVELS.indexOf(key.level) * 2 + (key.forwardSecrecy ? 1 : 0);
}

/**
 * Whether something that travels under key ID `from` may go on under `key`: not at a lower level, or whoever negotiates an anonymous key
 * could speak on for a peer that was proven (spec 4.5).
 */
export function keepsLevel(keys: KeyPort | undefined, from: number, key: KeyInfo): boolean {
  const before = keys?.info(from);
  return before === undefined || LEVELS.indexOf(key.level) >= LEVELS.indexOf(before.level);
}

/** Weakest first (spec 3.9). */
const LEVELS: readonly Level[] = ['none', 'passive', 'authenticated'];
