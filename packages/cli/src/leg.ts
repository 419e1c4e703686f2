import { algorithmName, SIGNED_LABEL } from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';
import { paint } from './output.ts';

/** How one leg of the way is protected, for people and scripts. */
export interface Leg {
  readonly from: string;
  readonly to: string;
  readonly level: string;
  readonly key?: {
    readonly id: number;
    readonly algorithm: string;
    readonly label: string;
    /** Who is proven. */
    readonly peer: string;
    readonly forwardSecrecy: boolean;
  };
  /** What else is to be said about the payload. */
  readonly payload?: string;
}

export function describeLeg(from: string, to: string, key: KeyInfo | undefined, payload?: string): Leg {
  const extra = payload === undefined ? {} : { payload };
  if (key === undefined) return { from, to, level: 'none', ...extra };
  const { keyId: id, label, peer, level, forwardSecrecy } = key;
  return {
    from,
    to,
    level,
    key: { id, algorithm: algorithmName(key.algorithm), label, peer, forwardSecrecy },
    ...extra,
  };
}

export function formatLeg({ from, to, level, key, payload }: Leg): string {
  const secrecy = key?.forwardSecrecy ? ', forward secrecy' : '';
  const how = key
    ? `sealed with key ${key.id} (${key.algorithm}, ${key.label === SIGNED_LABEL ? key.peer : key.label}${secrecy}), ${level}`
    : 'in the clear';
  return paint(
    key ? 'green' : 'yellow',
    `  ${from} -> ${to}: ${how}${payload ? `; payload ${payload}` : ''}`,
  );
}
