import { ALGORITHM, ANONYMOUS_LABEL, SIGNED_LABEL } from '../src/index.ts';
import { LABEL } from './link.ts';

/** A negotiation method, as far as tests must know it. */
export interface Method {
  readonly name: string;
  readonly algorithm: number;
  /** How many messages a run has. */
  readonly messages: number;
  readonly label: string;
  /** For messages that end with long fields, by index: the bytes of each of those fields. */
  readonly longFields?: Readonly<Record<number, readonly number[]>>;
}

export const METHODS: readonly Method[] = [
  { name: 'psk', algorithm: ALGORITHM.PSK, messages: 2, label: LABEL },
  {
    name: 'spiped',
    algorithm: ALGORITHM.SPIPED,
    messages: 4,
    label: LABEL,
    longFields: { 2: [256, 32], 3: [256, 32, 32] },
  },
  { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, messages: 2, label: LABEL },
  { name: 'signed', algorithm: ALGORITHM.SIGNED, messages: 3, label: SIGNED_LABEL },
  { name: 'anonymous', algorithm: ALGORITHM.ANONYMOUS, messages: 2, label: ANONYMOUS_LABEL },
  {
    name: 'hybrid',
    algorithm: ALGORITHM.HYBRID,
    messages: 2,
    label: LABEL,
    longFields: { 0: [32, 1184, 32], 1: [32, 1088, 32] },
  },
];
