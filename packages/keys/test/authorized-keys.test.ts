import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AuthorizedKeys } from '../src/identity/authorized-keys.ts';
import { formatPublicKey } from '../src/index.ts';
import { CLOCK } from './link.ts';
import { sshKeygen, temporaryFolder } from './openssh.ts';
import { signerOf } from './signers.ts';

const folder = temporaryFolder();
const { identity } = signerOf('alice');
const KEY = formatPublicKey(identity);
const HERE = { peerAddress: '192.0.2.7', now: CLOCK };

const admit = (line: string, circumstances = HERE) => new AuthorizedKeys(line).admit(identity, circumstances);
const unusable = (line: string) => new AuthorizedKeys(line).unusable.map(({ reason }) => reason);

describe('H13: an option of authorized_keys', () => {
  it.each([
    'cert-authority',
    'command="true"',
    'environment="A=B"',
    'no-touch-required',
    'permitlisten="localhost:80"',
    'principals="alice"',
    'tunnel="0"',
    'verify-required',
    'something-new',
    'something-new="x"',
    'from',
    'expiry-time',
    'permitopen',
    'restrict="x"',
  ])('%s is not honoured, so the line is of no use', (option) => {
    for (const line of [`${option} ${KEY}`, `restrict,${option} ${KEY}`, `${option.toUpperCase()} ${KEY}`]) {
      expect(admit(line).admitted, line).toBe(false);
      expect(unusable(line)).toEqual([expect.stringMatching(/not honoured here$/)]);
    }
  });

  it.each([
    ['no option', '', undefined],
    ['restrict', 'restrict', []],
    ['RESTRICT', 'RESTRICT', []],
    ['no-port-forwarding', 'no-port-forwarding', []],
    ['permitopen=', 'permitopen="db.example:5432"', ['db.example:5432']],
    [
      'two permitopen=',
      'permitopen="DB.example:*",permitopen="[2001:db8::1]:22"',
      ['db.example:*', '2001:db8::1:22'],
    ],
    ['restrict with permitopen=', 'restrict,permitopen="*:443"', ['*:443']],
    ['restrict and port-forwarding', 'restrict,port-forwarding', undefined],
    ['port-forwarding and restrict', 'port-forwarding,restrict', []],
    ['no-port-forwarding with permitopen=', 'no-port-forwarding,permitopen="a:1"', []],
    ['no-port-forwarding and restrict', 'no-port-forwarding,restrict,permitopen="a:1"', []],
    ['restrict and no-port-forwarding', 'restrict,no-port-forwarding,permitopen="a:1"', []],
    ['what does not exist here', 'no-pty,no-agent-forwarding,no-X11-forwarding,no-user-rc,pty', undefined],
  ])('%s says where its key may connect to', (_, options, permitOpen) => {
    const found = admit(`${options} ${KEY} alice@laptop with a blank`.trim());
    expect(found).toMatchObject({ admitted: true, line: 1, comment: 'alice@laptop with a blank' });
    expect(found.admitted && found.restrictions?.permitOpen).toEqual(permitOpen);
  });

  it.each(['a', 'a:', 'a:0', 'a:65536', ':1', 'a:b', '*.example:1', 'a b:1', '2001:db8::1:22', ''])(
    'permitopen="%s" is no place',
    (place) => {
      expect(unusable(`permitopen="${place}" ${KEY}`)).toEqual([expect.stringContaining('permitopen=')]);
    },
  );

  it.each([
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['192.0.2.0/24', true],
    ['192.0.3.0/24', false],
    ['0.0.0.0/0', true],
    ['::/0', false],
    ['*', true],
    ['192.0.2.?', true],
    ['192.0.2.??', false],
    ['192.*', true],
    ['!192.0.2.7', false],
    ['*,!192.0.2.7', false],
    ['!192.0.2.7,*', false],
    ['*,!198.51.100.0/24', true],
    ['10.0.0.1,192.0.2.7', true],
    ['laptop.example', false],
    ['laptop.example,192.0.2.7', true],
    ['*.example', false],
  ])('from="%s" lets 192.0.2.7 in: %s', (list, expected) => {
    for (const peerAddress of ['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207']) {
      expect(admit(`from="${list}" ${KEY}`, { ...HERE, peerAddress }).admitted, peerAddress).toBe(expected);
    }
  });

  it.each([
    ['2001:db8::/32', '2001:db8:1::7', true],
    ['2001:DB8::7', '2001:db8:0:0:0:0:0:7', true],
    ['2001:db8::/32', '2001:db9::7', false],
    ['fe80::1', 'fe80::1%eth0', true],
    ['::1', '127.0.0.1', false],
    ['0.0.0.0/0', '::1', false],
  ])('from="%s" with %s: %s', (list, peerAddress, expected) => {
    expect(admit(`from="${list}" ${KEY}`, { ...HERE, peerAddress }).admitted).toBe(expected);
  });

  it('from= lets nobody in who has no address, or none that can be understood', () => {
    for (const peerAddress of [undefined, '', 'local', '1.2.3', '192.0.2.7:80']) {
      expect(
        new AuthorizedKeys(`from="*" ${KEY}`).admit(identity, { peerAddress, now: CLOCK }),
      ).toMatchObject({
        admitted: false,
        reason: expect.stringMatching(/^line 1 has from=/),
      });
    }
  });

  it.each([
    '',
    ',',
    '192.0.2.0/33',
    '192.0.2.7/24',
    '192.0.2.0/',
    '192.0.2.0/24/1',
    'a/24',
    '!laptop.example',
    '*,!*.evil.example',
    '*,!cafe.de',
    '*,!*.de',
    '*,!192.0.2.07',
    '*,!192.0.2',
    '192.0.2.300',
    '*, !192.0.2.7',
    '192.0.2.7, 192.0.2.8',
    'fe80::1%eth0',
    '2001:db8::1/32',
  ])('from="%s" cannot be honoured, so the line is of no use', (list) => {
    expect(unusable(`from="${list}" ${KEY}`)).toEqual([expect.stringContaining('from=')]);
  });

  it('from= twice is of no use', () => {
    expect(unusable(`from="*",from="10.0.0.1" ${KEY}`)).toEqual(['has two options from=']);
  });

  // CLOCK is 2023-11-14 22:13:20 UTC.
  it.each([
    ['20231114221320Z', false],
    ['20231114221321Z', true],
    ['202311142213Z', false],
    ['202311142214Z', true],
    ['20231114Z', false],
    ['20231115Z', true],
    ['20990101', true],
    ['19700102', false],
  ])('expiry-time="%s" is still to come: %s', (time, expected) => {
    expect(admit(`expiry-time="${time}" ${KEY}`).admitted).toBe(expected);
    expect(admit(`expiry-time="20990101",expiry-time="${time}" ${KEY}`).admitted).toBe(expected);
  });

  it.each([
    '',
    'never',
    '2023',
    '20230230',
    '20231301Z',
    '2023111425',
    '202311142460',
    '20231114 2213',
    '99991232',
  ])('expiry-time="%s" is no time, so the line is of no use', (time) => {
    expect(unusable(`expiry-time="${time}" ${KEY}`)).toEqual([expect.stringContaining('is no time')]);
  });

  it.each([
    'from=192.0.2.7',
    'from="192.0.2.7',
    'from=""192.0.2.7""',
    'from="*,\\"',
    'from="*,x\\",restrict',
    'restrict,',
    ',restrict',
    'restrict,,restrict',
    'from="*"x',
    'restrict from="*"',
    '=',
  ])('%s breaks the rules of quoting', (options) => {
    expect(admit(`${options} ${KEY}`).admitted).toBe(false);
    expect(unusable(`${options} ${KEY}`)).toEqual([
      expect.stringMatching(/rules of sshd|neither options nor a key|no key type/),
    ]);
  });

  it('may have blanks, commas and quotes inside quotes', () => {
    expect(unusable(`command="echo \\"a, b\\"",restrict ${KEY}`)).toEqual([
      'has the option command=, which is not honoured here',
    ]);
    expect(admit(`from="10.0.0.1,192.0.2.7",restrict\t${KEY}`).admitted).toBe(true);
  });
});

describe('authorized_keys', () => {
  it('skips keys of other types, and says so', () => {
    const lines = [
      `ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA==`,
      `ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t`,
      `restrict sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t`,
    ];
    const file = new AuthorizedKeys([...lines, KEY].join('\n'));
    expect(file.size).toBe(1);
    expect(file.unusable.map(({ line }) => line)).toEqual([1, 2, 3]);
    for (const { reason } of file.unusable) expect(reason).toContain('only ssh-ed25519');
    expect(file.admit(identity, HERE)).toMatchObject({ admitted: true, line: 4 });
  });

  it('passes over comments and blank lines, and takes any end of line', () => {
    const file = new AuthorizedKeys(`# a comment\r\n\r\n   \n\t${KEY} alice\r\n#${KEY}`);
    expect(file.unusable).toEqual([]);
    expect(file.admit(identity, HERE)).toMatchObject({ line: 4, comment: 'alice' });
  });

  it('tries further lines with the same key, and gives the reasons of all if none fits', () => {
    const lines = [`from="10.0.0.1" ${KEY}`, `expiry-time="19990101" ${KEY}`];
    expect(new AuthorizedKeys([...lines, `restrict ${KEY}`].join('\n')).admit(identity, HERE)).toMatchObject({
      line: 3,
      restrictions: { permitOpen: [] },
    });
    expect(new AuthorizedKeys(lines.join('\n')).admit(identity, HERE)).toEqual({
      admitted: false,
      reason: 'line 1 has from=, which does not contain 192.0.2.7, line 2 has expired',
    });
  });

  it('lets nobody else in', () => {
    const file = new AuthorizedKeys(KEY);
    expect(file.admit(signerOf('mallory').identity, HERE).admitted).toBe(false);
    expect(new AuthorizedKeys('').admit(identity, HERE).admitted).toBe(false);
  });

  it.each([
    ['a damaged key', KEY.replace('AAAAC3', 'AAAAC4')],
    ['a key that was cut', KEY.slice(0, -4)],
    ['a type that is not that of the key', KEY.replace('ssh-ed25519', 'ssh-rsa')],
    // The type inside the key begins with a byte order mark.
    ['a second way to write a key', `ssh-ed25519 ${withMark(KEY)}`],
    ['no key', 'ssh-ed25519'],
    ['a weak key', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['something else', 'hello'],
  ])('has no use for %s', (_, line) => {
    expect(admit(line).admitted).toBe(false);
    expect(unusable(line)).toHaveLength(1);
  });

  it('never throws, and lets nobody in by accident', () => {
    const options = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom(...'restrict,from="*"\\ \tcommand=')).map((characters) => characters.join('')),
    );
    fc.assert(
      fc.property(options, (text) => {
        const line = `command="x",${text} ${KEY}`;
        expect(admit(line.replaceAll('\n', ' ')).admitted).toBe(false);
      }),
    );
  });
});

describe('a line that OpenSSH cannot read', () => {
  it('lets nobody in, however it is quoted', () => {
    const parts = ['restrict', 'from="*', 'from="*"', '"', '\\', '\\"', ',', ' ', '\t', 'x', '=', '#'];
    const field = fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength: 6 });
    // Trimmed, because ssh-keygen, unlike sshd, takes one blank between options and key, and not more.
    const fields = fc.sample(field, { seed: 1, numRuns: 3_000 }).map((chosen) => chosen.join('').trim());
    const path = join(folder, 'authorized_keys');
    writeFileSync(path, fields.map((options, index) => `${options} ${KEY} c${index}\n`).join(''));
    const listed = sshKeygen('-lf', path).matchAll(/ c([0-9]+) \(ED25519\)$/gm);
    const readable = new Set([...listed].map(([, index]) => Number(index)));
    const admitted = fields.flatMap((options, index) => (admit(`${options} ${KEY}`).admitted ? [index] : []));
    expect(admitted.filter((index) => !readable.has(index)).map((index) => fields[index])).toEqual([]);
    expect(admitted.length).toBeGreaterThan(30);
    expect(readable.size).toBeLessThan(fields.length);
  });
});

/** The base64 of a key whose type has a byte order mark in front of it. */
function withMark(key: string): string {
  const blob = Buffer.from(key.split(' ')[1] ?? '', 'base64');
  const type = Buffer.from('\ufeffssh-ed25519');
  return Buffer.concat([Buffer.of(0, 0, 0, type.length), type, blob.subarray(15)]).toString('base64');
}
