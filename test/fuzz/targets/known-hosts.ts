import { formatPublicKey } from '@keymux/keys';
import fc from 'fast-check';
import { DAMAGE, damaged, must, pick } from '../checks.ts';
import { KnownHosts, KnownHostsError, signerOf } from '../internals.ts';
import { target } from '../target.ts';

interface Case {
  readonly text: Uint8Array;
  readonly host: number;
  readonly port: number;
  readonly who: number;
}

const WHO = ['server', 'other'];
const KEYS = WHO.map((name) => formatPublicKey(signerOf(name).identity));
const HOSTS = ['a.example', 'b.example', '10.0.0.1', 'fe80::1', 'a*', ''];
const PORTS = [22, 6121, 0, 65_536];

const marker = fc.constantFrom('', '', '', '@revoked ', '@cert-authority ', '@other ', '@');
const names = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('*', 'a.example') },
  fc.constantFrom(
    'a.example',
    '[a.example]:6121',
    '*',
    '!a.example,*',
    '*.example',
    'A.Example',
    '?.example',
    ',',
    '|1|',
  ),
  fc.constant('|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg='),
  fc.stringMatching(/^[a-z*?!,.[\]:|=]{1,12}$/),
);
const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...KEYS) },
  fc.constantFrom('ssh-rsa AAAAB3NzaC1yc2E=', 'ssh-ed25519', 'ssh-ed25519 AAAA', ''),
);
const line = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(marker, names, key).map(([m, n, k]) => `${m}${n} ${k}`) },
  fc.constantFrom('', '# comment', ' ', '\r'),
);

/** A damaged file trusts nobody: what matches stands in a line with this key that neither revokes it nor says something else. */
export const knownHosts = target<Case>({
  name: 'known-hosts',
  cases: fc.record({
    text: fc
      .tuple(fc.array(line, { maxLength: 5 }), fc.array(DAMAGE, { maxLength: 2 }))
      .map(([lines, damage]) => damaged(Buffer.from(lines.join('\n')), damage)),
    host: fc.nat(HOSTS.length - 1),
    port: fc.nat(PORTS.length - 1),
    who: fc.nat(1),
  }),
  check: ({ text, host, port, who }) => {
    const content = Buffer.from(text).toString('latin1');
    const index = Math.abs(who) % WHO.length;
    const { identity } = signerOf(WHO[index] as string);
    const peer = { host: pick(HOSTS, host) as string, port: pick(PORTS, port) as number };
    let hosts: KnownHosts;
    try {
      hosts = new KnownHosts(content);
    } catch (error) {
      if (error instanceof KnownHostsError) return;
      throw error;
    }
    try {
      const verdict = hosts.check(peer, identity);
      if (verdict.kind !== 'match') return;
      const [, base64] = (KEYS[index] as string).split(' ');
      const line = content.split('\n')[verdict.line - 1] ?? '';
      must(line.includes(base64 as string), 'the line that matches has the key');
      must(!/^\s*[@#]/.test(line), 'the line that matches is a plain one');
      const revoked = content.split('\n').filter((other) => /^\s*@revoked\s+\*\s/.test(other));
      must(!revoked.some((other) => other.includes(base64 as string)), 'no line revokes the key everywhere');
    } catch (error) {
      // A peer that cannot be named is refused, not passed over.
      if (!(error instanceof Error) || error.name !== 'SshFormatError') throw error;
    }
  },
  runs: 500,
});
