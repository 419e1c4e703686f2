import { ALGORITHM } from './algorithm-ids.ts';
import { ascii, concat, u8, u32 } from './bytes.ts';
import { keyFailure, usageError } from './errors.ts';
import type { Offer } from './keeper.ts';
import type { Reader } from './reader.ts';

/**
 * The fields that every first message begins with (spec 3.4):
 *
 *     offer (32) | label length (8) | label | authority length (8) | authority
 */
export function encodeOffer(offer: Offer): Uint8Array {
  const { label, authority } = offer;
  return concat(u32(offer.offer), u8(label.length), ascii(label), u8(authority.length), ascii(authority));
}

/** Reads the fields of a run of `algorithm`. Throws KeyError (session). */
export function readOffer(reader: Reader, algorithm: number): Offer {
  const offer = {
    offer: reader.u32(),
    label: reader.ascii(reader.u8()),
    authority: reader.ascii(reader.u8()),
  };
  const fault = offerFault(offer, algorithm);
  if (fault !== undefined) throw keyFailure('malformed', fault);
  return offer;
}

/** Checks what the local user asks for. Throws KeyError (usage). */
export function checkOffer(offer: Offer, algorithm: number): void {
  const fault = offerFault(offer, algorithm);
  if (fault !== undefined) throw usageError(fault);
}

/** Whether the bit set `offer` names `algorithm`. */
export function offers(offer: number, algorithm: number): boolean {
  return algorithm < 32 && ((offer >>> algorithm) & 1) === 1;
}

export function isLabel(text: string): boolean {
  return /^[a-z0-9._-]{1,64}$/.test(text);
}

/** Whether `text` can be an authority; empty is one. */
export function isAuthority(text: string): boolean {
  return /^[a-z0-9.:-]{0,253}$/.test(text);
}

/** Takes the place of a label where there is no long-term key (spec 3.11). */
export const ANONYMOUS_LABEL = 'anonymous';

function offerFault({ offer, label, authority }: Offer, algorithm: number): string | undefined {
  if (!isLabel(label)) return 'a label is 1 to 64 characters of a-z 0-9 . _ -';
  if ((label === ANONYMOUS_LABEL) !== (algorithm === ALGORITHM.ANONYMOUS)) {
    return `the label "${ANONYMOUS_LABEL}" and the algorithm of this name belong together`;
  }
  if (!isAuthority(authority)) return 'an authority is up to 253 characters of a-z 0-9 . - :';
  if (!Number.isInteger(offer) || offer < 0 || offer > 0xffffffff || !offers(offer, algorithm)) {
    return `the offer does not contain the ALG_ID ${algorithm} of the run itself`;
  }
  return undefined;
}
