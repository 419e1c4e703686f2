import { ALGORITHM } from '@keymux/keys';

// What the two ends of a keeper's session agree on (spec 12.7).

/** Where the caller asks to be connected to: no host has this name, so nobody but a keeper answers it. */
export const LINK_HOST = 'keeper.keymux.invalid';
export const LINK_PORT = 1;

/** Run secrets travel under the key, so who records the session must gain nothing by a key file that he gets later; nor, if it can be had, by a quantum computer. */
export const LINK_ALGORITHMS: readonly number[] = [ALGORITHM.HYBRID, ALGORITHM.PSK_X25519];
