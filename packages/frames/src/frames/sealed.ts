import { requireInteger, requireKeyId } from '../checks.ts';
import { HEAD_LENGTH, LIMITS, SEALED_HEAD_LENGTH, TAG_LENGTH, TYPE, VERSION } from '../constants.ts';
import { Writer } from '../writer.ts';

/**
 * The readable first 10 bytes of a SEALED frame: head, key ID, generation (spec 1.5). Ciphertext and tag follow
 * them on the wire; they are also the end of the associated data (4.1).
 *
 * @param bodyLength bytes of ciphertext and tag: 24 (one frame without a body) to 66,576
 */
export function encodeSealedHead(keyId: number, generation: number, bodyLength: number): Uint8Array {
  requireKeyId('SEALED', keyId);
  requireInteger('SEALED generation', generation, 0, 255);
  const longest = LIMITS.sealedPlaintext + TAG_LENGTH;
  requireInteger('SEALED ciphertext and tag length', bodyLength, HEAD_LENGTH + TAG_LENGTH, longest);
  return new Writer(SEALED_HEAD_LENGTH)
    .u16(0x8000 + VERSION)
    .u16(TYPE.SEALED)
    .u8(0)
    .u24(2 + bodyLength)
    .u8(keyId)
    .u8(generation)
    .finish();
}
