import { NegotiationRejectedError } from '@keymux/streams';
import { expect, test } from 'vitest';

test.each([
  [5, [], 'it cannot negotiate at the moment; try again later'],
  [3, [3, 6], 'it has too many negotiations in progress; it would accept psk-x25519, hybrid'],
  [200, [], 'reason 200'],
])('a rejection for reason %i that names %j says what is known', (reason, algorithms, why) => {
  const { message } = new NegotiationRejectedError(reason, algorithms);
  expect(message).toBe(`the peer rejected the negotiation: ${why}`);
});
