import { algorithmName } from './algorithm-ids.ts';
import { KeyError } from './errors.ts';
import type { Offer } from './keeper.ts';
import { decodeNego, type NegoFrame } from './nego-frame.ts';
import { readOffer } from './offer.ts';
import { Reader } from './reader.ts';
import { decodeReject } from './reject.ts';

/** What a KEY_NEGO frame says to who only looks. */
export interface NegoDescription {
  readonly algorithm: string;
  readonly kind: 'first' | 'next' | 'reject' | 'retire';
  /** Of a first message. */
  readonly label?: string;
  readonly authority?: string;
  readonly offered?: readonly string[];
  /** Of a REJECT. */
  readonly reason?: number;
  readonly accepted?: readonly string[];
}

/** Describes a frame. `first` says that it begins a run. A malformed one is described as far as it can be read. */
export function describeNego(
  { algorithm: id, reject, retire, data }: Omit<NegoFrame, 'keyId' | 'fin'>,
  first: boolean,
): NegoDescription {
  const algorithm = algorithmName(id);
  if (retire) return { algorithm, kind: 'retire' };
  try {
    if (reject) {
      const { reason, algorithms } = decodeReject(data);
      return { algorithm, kind: 'reject', reason, accepted: algorithms.map(algorithmName) };
    }
    if (!first) return { algorithm, kind: 'next' };
    const { offer, label, authority } = readOffer(new Reader(data), id);
    const offered = Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => (offer >>> bit) & 1);
    return { algorithm, kind: 'first', label, authority, offered: offered.map(algorithmName) };
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return { algorithm, kind: reject ? 'reject' : 'first' };
  }
}

/** What the first message of a run asks for, for logs; undefined if it is malformed. */
export function offerOf(first: Uint8Array): Offer | undefined {
  try {
    const { algorithm, data } = decodeNego(first);
    return readOffer(new Reader(data), algorithm);
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    return undefined;
  }
}
