import { formatPublicKey } from '@keymux/keys';
import fc from 'fast-check';
import { DAMAGE, damaged, must, mustEqual, pick } from '../checks.ts';
import { AuthorizedKeys, signerOf } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly text: Uint8Array;
  readonly address: number;
  readonly now: number;
}

const KEY = formatPublicKey(signerOf('client').identity);
const ADDRESSES = [undefined, '10.0.0.1', '10.0.1.1', '::ffff:10.0.0.1', 'fe80::1%eth0', 'nonsense', ''];

const quoted = fc.oneof(
  fc.constantFrom(
    '10.0.0.0/8',
    '!10.0.0.1,10.*',
    '*',
    '20300101',
    '203001011200Z',
    'a.example:443',
    '[::1]:*',
    'x\\"y',
    '',
  ),
  fc.stringMatching(/^[0-9a-f.:*?!,/]{0,16}$/),
);
const option = fc.oneof(
  fc.constantFrom('restrict', 'port-forwarding', 'no-pty', 'no-port-forwarding', 'cert-authority', 'x'),
  fc
    .tuple(fc.constantFrom('from', 'expiry-time', 'permitopen', 'command', 'FROM'), quoted)
    .map(([n, v]) => `${n}="${v}"`),
);
const options = fc
  .array(option, { maxLength: 3 })
  .map((list) => (list.length === 0 ? '' : `${list.join(',')} `));
const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(KEY, `${KEY} alice`) },
  fc.constantFrom('ssh-rsa AAAAB3NzaC1yc2E=', 'ssh-ed25519 AAAA', ''),
);
const line = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(options, key).map(([o, k]) => `${o}${k}`) },
  fc.constantFrom('', '# x', '"', 'a="b\\'),
);

/** A damaged line lets nobody in whom it does not name, and takes no option for less than it says. */
export const authorizedKeys = target<Case>({
  name: 'authorized-keys',
  cases: fc.record({
    text: fc
      .tuple(fc.array(line, { maxLength: 4 }), fc.array(DAMAGE, { maxLength: 2 }))
      .map(([lines, damage]) => damaged(Buffer.from(lines.join('\n')), damage)),
    address: fc.nat(ADDRESSES.length - 1),
    now: fc.constantFrom(0, 1_700_000_000_000, 1_900_000_000_000),
  }),
  check: ({ text, address, now }) => {
    const content = Buffer.from(text).toString('latin1');
    const { identity } = signerOf('client');
    const parsed = new AuthorizedKeys(content);
    const lines = content.split('\n');
    must(parsed.size + parsed.unusable.length <= lines.length, 'no line counts twice');
    for (const { line: number, reason } of parsed.unusable) {
      must(number >= 1 && number <= lines.length && reason !== '', 'what cannot be used is named');
    }
    const peerAddress = pick(ADDRESSES, address);
    const verdict = parsed.admit(identity, { peerAddress, now });
    if (!verdict.admitted) return;
    const admitting = lines[verdict.line - 1] ?? '';
    must(admitting.includes(KEY.split(' ')[1] as string), 'the line has the key');
    must(!/^\s*#/.test(admitting), 'the line is no comment');
    const before = admitting.slice(0, admitting.indexOf(KEY.split(' ')[1] as string));
    must(
      !/(^|,)\s*(command|cert-authority|x)\b/i.test(before.replace(/"[^"]*"/g, '')),
      'every option is honoured',
    );
    if (peerAddress === undefined)
      must(!/(^|,)from=/i.test(before), 'from= keeps those out who have no address');
    // What is decided does not depend on what came before.
    mustEqual(new AuthorizedKeys(content).admit(identity, { peerAddress, now }), verdict, 'once more');
  },
  runs: 500,
});
