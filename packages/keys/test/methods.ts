import { ALGORITHM, ANONYMOUS_LABEL, SIGNED_LABEL } from '../src/index.ts';
import { LABEL } from './link.ts';

/** A negotiation method, as far as tests must know it. */
export interface Method {
  readonly name: string;
  readonly algorithm: number;
  /** How many messages a run has. */
  readonly messages: number;
  readonly label: string;
}

export const METHODS: readonly Method[] = [
  { name: 'psk', algorithm: ALGORITHM.PSK, messages: 2, label: LABEL },
  { name: 'spiped', algorithm: ALGORITHM.SPIPED, messages: 4, label: LABEL },
  { name: 'psk-x25519', algorithm: ALGORITHM.PSK_X25519, messages: 2, label: LABEL },
  { name: 'signed', algorithm: ALGORITHM.SIGNED, messages: 3, label: SIGNED_LABEL },
  { name: 'anonymous', algorithm: ALGORITHM.ANONYMOUS, messages: 2, label: ANONYMOUS_LABEL },
  { name: 'hybrid', algorithm: ALGORITHM.HYBRID, messages: 2, label: LABEL },
];
