/**
 * The host that the first message of a run asks for (spec 3.4); undefined if the message is malformed.
 *
 *     offer (32) | label length (8) | label | authority length (8) | authority
 */
export function authorityOf(data: Uint8Array): string | undefined {
  const labelLength = data[OFFER] ?? 0;
  const at = OFFER + 1 + labelLength;
  const length = data[at];
  if (labelLength === 0 || length === undefined || at + 1 + length > data.length) return undefined;
  const authority = String.fromCharCode(...data.subarray(at + 1, at + 1 + length));
  return /^[a-z0-9.:-]{0,253}$/.test(authority) ? authority : undefined;
}

/** Bytes before the length of the label. */
const OFFER = 4;
