const OPCODE = { CONTINUATION: 0, BINARY: 2 };
/** Longer than any message that keymux takes. */
const MAX_FRAME = 64 * 1024 * 1024;

/** Takes the payload of binary messages out of one direction of a WebSocket (RFC 6455, 5.2). */
export class WebSocketReader {
  #held: Buffer = Buffer.alloc(0);

  /** Throws Error if this is no WebSocket. */
  push(bytes: Buffer): Buffer[] {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const payloads: Buffer[] = [];
    for (let frame = this.#take(); frame !== undefined; frame = this.#take()) {
      if (frame.opcode === OPCODE.BINARY || frame.opcode === OPCODE.CONTINUATION)
        payloads.push(frame.payload);
    }
    return payloads;
  }

  #take(): { opcode: number; payload: Buffer } | undefined {
    const held = this.#held;
    if (held.length < 2) return undefined;
    const [first, second] = [held[0] as number, held[1] as number];
    const short = second & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    const masked = (second & 0x80) !== 0;
    const start = 2 + extended + (masked ? 4 : 0);
    if (held.length < start) return undefined;
    const length =
      extended === 0 ? short : extended === 2 ? held.readUInt16BE(2) : Number(held.readBigUInt64BE(2));
    if (length > MAX_FRAME) throw new Error(`a WebSocket frame of ${length} bytes`);
    if (held.length < start + length) return undefined;
    const payload = held.subarray(start, start + length);
    this.#held = held.subarray(start + length);
    return {
      opcode: first & 0x0f,
      payload: masked ? unmask(payload, held.subarray(start - 4, start)) : payload,
    };
  }
}

function unmask(payload: Buffer, key: Buffer): Buffer {
  const clear = Buffer.alloc(payload.length);
  for (let i = 0; i < payload.length; i++) clear[i] = (payload[i] as number) ^ (key[i & 3] as number);
  return clear;
}
