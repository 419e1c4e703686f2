/** Takes exact numbers of bytes from a source that gives them in pieces. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes; undefined if the source ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [this.#held];
    let have = this.#held.length;
    while (have < length) {
      const { value, done } = await this.#source.next();
      if (done) return undefined;
      pieces.push(Buffer.from(value.buffer, value.byteOffset, value.length));
      have += value.length;
    }
    const bytes: Buffer = pieces.length === 1 ? this.#held : Buffer.concat(pieces);
    this.#held = bytes.subarray(length);
    return bytes.subarray(0, length);
  }
}
