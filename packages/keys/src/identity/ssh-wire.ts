import { concat, u32 } from '../bytes.ts';

/** Bytes that are not what SSH's formats say. The message completes a sentence: `<what> ...`. */
export class SshFormatError extends Error {
  override readonly name = 'SshFormatError';
}

/** A `string` of RFC 4251, section 5: length, then bytes. */
export function sshString(bytes: Uint8Array): Uint8Array {
  return concat(u32(bytes.length), bytes);
}

/** Bounded cursor over the data types of RFC 4251, section 5. Throws SshFormatError. */
export class SshReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A view of a `string`. */
  string(): Uint8Array {
    return this.take(this.u32());
  }

  /** A `string` that is a name or a comment. Bytes that are not UTF-8 become replacement characters; none are passed over. */
  text(): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.string());
  }

  end(): void {
    if (this.left > 0) throw new SshFormatError(`has ${this.left} bytes after its last field`);
  }

  #advance(length: number): number {
    const start = this.#offset;
    if (length > this.left) throw new SshFormatError('ends inside a field');
    this.#offset = start + length;
    return start;
  }
}

/** Decodes base64 as OpenSSH writes it: padded, canonical, nothing else between. Throws SshFormatError. */
export function decodeBase64(text: string): Uint8Array {
  const pooled = Buffer.from(text, 'base64');
  const bytes = Uint8Array.from(pooled);
  const canonical = text !== '' && pooled.toString('base64') === text;
  pooled.fill(0); // it may have been a private key
  if (!canonical) throw new SshFormatError('is not canonical base64');
  return bytes;
}
