import { ALGORITHM } from '@keymux/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { ANNOUNCEMENT, Attacker } from '../support/attacker.ts';
import { at } from '../support/middle.ts';
import { cat, frame, number } from '../support/reference-keys.ts';
import { Scope } from '../support/scope.ts';
import { ALPHA, codeOf, expectKeyFailure, failureOf, KEY_FAILURE, setVictims } from '../support/victims.ts';

const scope = new Scope();
afterEach(() => scope.close());

/** As long as a default label, so that nothing else of the frame changes. */
const SAME_LENGTH = [
  '../../id_ed25519xx',
  '/etc/ssh/ssh_host_',
  '..................',
  '%2e%2e%2fid_ed2551',
  'K-0123456789ABCDEF',
  "k-' or 1=1 or '1=1",
  'k-0123\u000089abcdef',
  'k-0123\n456789abcd',
  'k-\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9',
  '__proto__.toString',
  'constructor.......',
];
const OTHERS = [
  '',
  '__proto__',
  'constructor',
  'tostring',
  'hasownproperty',
  'anonymous',
  'signed',
  'x'.repeat(64),
  'x'.repeat(65),
  'x'.repeat(255),
];

describe('H15: labels', () => {
  test.each(SAME_LENGTH)('%j in the place of the label: one and the same failure', async (label) => {
    const victims = await setVictims(scope, {
      meddle: at('up key-nego 0', ({ bytes }) => {
        const copy = Buffer.from(bytes);
        const index = copy.indexOf('k-');
        copy.write(label.padEnd(18, 'x'), index, 18, 'latin1');
        return copy;
      }),
    });
    expect(codeOf(await failureOf(victims.key(ALPHA)))).toBe(KEY_FAILURE);
    await expectKeyFailure(victims);
  });

  test.each(OTHERS)('%j as label of a first message: one and the same failure', async (label) => {
    const { port, sessions } = await setVictims(scope);
    const attacker = await Attacker.connect(scope, port);
    const fields = cat(
      number(1 << ALGORITHM.PSK, 4),
      Buffer.of(label.length),
      Buffer.from(label),
      Buffer.of(ALPHA.length),
      Buffer.from(ALPHA),
    );
    attacker.send(ANNOUNCEMENT, frame(1, ALGORITHM.PSK, 1, cat(fields, Buffer.alloc(72))));
    await attacker.closed;
    expect(await sessions.at(-1)?.closed).toMatchObject({ code: KEY_FAILURE });
    expect([attacker.messages, attacker.goaways]).toEqual([[], [0x4b01]]);
  });

  test.each([...SAME_LENGTH, '__proto__', 'constructor', ''])(
    '%j is no label for a caller either',
    async (label) => {
      const { client } = await setVictims(scope);
      const asked = client.negotiate({ algorithm: ALGORITHM.PSK_X25519, label, authority: ALPHA });
      expect(codeOf(await failureOf(asked))).toMatch(/^ERR_KEYMUX_KEY_(?:UNKNOWN|USAGE)$/);
      expect(client.session.canOpen).toBe(true);
    },
  );
});
