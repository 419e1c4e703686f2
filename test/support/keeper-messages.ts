/** A message of the keeper protocol, written a second time: `length (32) | head length (32) | head | data`. */
export function message(head: unknown, data: Uint8Array = new Uint8Array(0)): Buffer {
  const text = typeof head === 'string' ? Buffer.from(head) : Buffer.from(JSON.stringify(head));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(4 + text.length + data.length);
  lengths.writeUInt32BE(text.length, 4);
  return Buffer.concat([lengths, text, data]);
}

export const HELLO = { type: 'hello', versions: [1] };

/** The heads of all whole messages in `bytes`. */
export function messagesIn(bytes: Buffer): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    const end = at + 8 + bytes.readUInt32BE(at + 4);
    if (end > bytes.length) break;
    found.push(JSON.parse(bytes.toString('utf8', at + 8, end)));
  }
  return found;
}
