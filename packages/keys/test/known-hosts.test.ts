import { chmod, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { KnownHosts, KnownHostsError, type PeerName } from '../src/identity/known-hosts.ts';
import { matchesPattern } from '../src/identity/pattern.ts';
import { formatPublicKey, KnownHostsFile } from '../src/index.ts';
import { generateKey, sshKeygen, temporaryFolder } from './openssh.ts';
import { signerOf } from './signers.ts';

const folder = temporaryFolder();
const { identity } = signerOf('a host');
const KEY = formatPublicKey(identity);
const OTHER = formatPublicKey(signerOf('another host').identity);
const HOST: PeerName = { host: 'a.example', port: 6121 };
const rsa = generateKey(join(folder, 'rsa'), '-t', 'rsa', '-b', '2048').publicText;

const check = (text: string, host = HOST) => new KnownHosts(text).check(host, identity);

describe('known_hosts', () => {
  it.each([
    ['[a.example]:6121', 'match'],
    ['[A.Example]:6121', 'match'],
    ['a.example', 'match'],
    ['[a.example]:6122', 'unknown'],
    ['b.example', 'unknown'],
    ['*.example', 'match'],
    ['[*.example]:6121', 'match'],
    ['[?.example]:*', 'match'],
    ['*', 'match'],
    ['b.example,[a.example]:6121', 'match'],
    ['*,![a.example]:6121', 'unknown'],
    ['![a.example]:6121,*', 'unknown'],
    ['[*]:6121,![b.example]:6121', 'match'],
    ['![b.example]:6121', 'unknown'],
    ['*,!a.example', 'unknown'],
    ['*,!b.example', 'match'],
  ])('line with the names %s: %s', (names, kind) => {
    expect(check(`${names} ${KEY}`).kind).toBe(kind);
  });

  it('says mismatch only if the host with its port has another key', () => {
    expect(check(`[a.example]:6121 ${OTHER}`)).toEqual({ kind: 'mismatch', line: 1 });
    expect(check(`# x\n\n[*]:6121 ${OTHER}`)).toEqual({ kind: 'mismatch', line: 3 });
    // The bare name has the key of the SSH server.
    expect(check(`a.example ${OTHER}`).kind).toBe('unknown');
    // A name with its port counts more than one without.
    expect(check(`a.example ${KEY}\n[a.example]:6121 ${OTHER}`)).toEqual({ kind: 'mismatch', line: 2 });
    expect(check(`[a.example]:6121 ${OTHER}\n[a.example]:6121 ${KEY}`)).toEqual({ kind: 'match', line: 2 });
  });

  it('shows the lines that it decides by, and no others', () => {
    const about = (...lines: string[]) =>
      new KnownHosts(lines.join('\n')).about(HOST).map(({ line, revoked }) => (revoked ? -line : line));
    expect(about(`b.example ${KEY}`, `![a.example]:6121,* ${KEY}`)).toEqual([]);
    expect(about(`a.example ${KEY}`, `a.example ${OTHER}`)).toEqual([1, 2]);
    // A bare name says nothing beside one with its port, unless it revokes.
    expect(about(`a.example ${KEY}`, `[a.example]:6121 ${OTHER}`)).toEqual([2]);
    expect(about(`[*]:6121 ${OTHER}`, `@revoked a.example ${KEY}`)).toEqual([1, -2]);
    expect(about(`@revoked [a.example]:6121 ${KEY}`, `a.example ${OTHER}`)).toEqual([-1, 2]);
  });

  it('has the bare name for port 22 only', () => {
    const ssh = { host: 'a.example', port: 22 };
    expect(check(`a.example ${KEY}`, ssh).kind).toBe('match');
    expect(check(`a.example ${OTHER}`, ssh).kind).toBe('mismatch');
    expect(check(`[a.example]:22 ${KEY}`, ssh).kind).toBe('unknown');
  });

  it('takes addresses as names', () => {
    expect(check(`[2001:db8::1]:6121 ${KEY}`, { host: '2001:DB8::1', port: 6121 }).kind).toBe('match');
    expect(check(`[192.0.2.7]:6121 ${KEY}`, { host: '192.0.2.7', port: 6121 }).kind).toBe('match');
  });

  it.each(['[a.example]:6121', 'a.example', '*'])(
    'H12: @revoked %s refuses, whatever else is said',
    (names) => {
      for (const text of [
        `@revoked ${names} ${KEY}`,
        `[a.example]:6121 ${KEY}\n@revoked ${names} ${KEY}`,
        `@revoked ${names} ${KEY}\n[a.example]:6121 ${KEY}`,
      ]) {
        expect(check(text).kind).toBe('revoked');
      }
      expect(check(`@revoked ${names} ${OTHER}\n[a.example]:6121 ${KEY}`).kind).toBe('match');
      expect(check(`@revoked b.example ${KEY}\n[a.example]:6121 ${KEY}`).kind).toBe('match');
    },
  );

  it('H12: @revoked holds unless the host with its port is kept out', () => {
    expect(check(`@revoked *,!a.example ${KEY}`).kind).toBe('revoked');
    expect(check(`@revoked *,![a.example]:6121 ${KEY}`).kind).toBe('unknown');
  });

  it('H12: @cert-authority is no match', () => {
    expect(check(`@cert-authority * ${KEY}`).kind).toBe('unknown');
  });

  it('passes over keys of other types', () => {
    expect(check(`[a.example]:6121 ${rsa}\n@revoked * ${rsa}`).kind).toBe('unknown');
  });

  it.each([
    ['an unknown marker', `@trusted * ${KEY}`],
    ['no key', '[a.example]:6121'],
    ['a damaged key', `[b.example]:6121 ${KEY.slice(0, -5)}`],
    ['a damaged key of another type', `b.example ${rsa.slice(0, -3)}`],
    ['an empty name', `a.example,, ${KEY}`],
    ['an unknown hash', `|2|AAAA|AAAA ${KEY}`],
    ['a cut hash', `|1|AAAA|AAAA ${KEY}`],
    ['a hash that is no base64', `|1|!|! ${KEY}`],
    ['binary junk', '\u0000\u0001\u0002'],
  ])('H12: with %s in any line nothing is trusted', (_, line) => {
    expect(() => check(`[a.example]:6121 ${KEY}\n${line}`)).toThrow(KnownHostsError);
    expect(() => check(`[a.example]:6121 ${KEY}\n${line}`)).toThrow(/^line 2 /);
  });

  it('H12: a name that is no host never matches', () => {
    for (const host of ['', '*', 'a b', 'a,b', '[a]', '!a', 'a\n', '|1|x', 'x'.repeat(256)]) {
      expect(() => check(`* ${KEY}`, { host, port: 1 })).toThrow();
    }
    for (const port of [0, -1, 1.5, 65_536, Number.NaN])
      expect(() => check(`* ${KEY}`, { host: 'a', port })).toThrow();
  });
});

describe('a known_hosts file', () => {
  let path: string;
  let file: KnownHostsFile;
  let count = 0;
  beforeEach(() => {
    path = join(folder, `known_hosts-${count++}`);
    file = new KnownHostsFile(path);
  });

  it('that ssh-keygen -H has hashed is read', async () => {
    await writeFile(path, `[a.example]:6121,b.example ${KEY}\nc.example ${OTHER}\n`);
    sshKeygen('-q', '-H', '-f', path);
    const text = await readFile(path, 'utf8');
    expect(text).not.toContain('example');
    const known = await file.load();
    expect(known.check(HOST, identity).kind).toBe('match');
    expect(known.check({ host: 'b.example', port: 22 }, identity).kind).toBe('match');
    expect(known.check({ host: 'd.example', port: 22 }, identity).kind).toBe('unknown');
    expect(known.check({ host: 'c.example', port: 22 }, identity).kind).toBe('mismatch');
  });

  it('gets a host written down once, in a way that ssh-keygen -F finds', async () => {
    expect((await file.load()).check(HOST, identity).kind).toBe('unknown');
    await file.add(HOST, identity);
    await file.add(HOST, identity);
    expect(await readFile(path, 'utf8')).toBe(`[a.example]:6121 ${KEY}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await file.load()).check(HOST, identity)).toEqual({ kind: 'match', line: 1 });
    expect(sshKeygen('-F', '[a.example]:6121', '-f', path)).toContain(KEY);
  });

  it('that does not end with a line end gets one first', async () => {
    await writeFile(path, `b.example ${OTHER}`);
    await file.add(HOST, identity);
    expect(await readFile(path, 'utf8')).toBe(`b.example ${OTHER}\n[a.example]:6121 ${KEY}\n`);
  });

  it('never gets a second key for a host, nor a revoked one, nor anything if it cannot be understood', async () => {
    for (const text of [`[a.example]:6121 ${OTHER}\n`, `@revoked * ${KEY}\n`, 'junk\n']) {
      await writeFile(path, text);
      await expect(file.add(HOST, identity)).rejects.toMatchObject({ code: 'ERR_KEYMUX_TRUST_FILE' });
      expect(await readFile(path, 'utf8')).toBe(text);
    }
  });

  it('never gets a host name that would be more than one', async () => {
    for (const host of ['*', 'a,b', 'a b', 'a\n@revoked', '|1|a']) {
      await expect(file.add({ host, port: 6121 }, identity)).rejects.toThrow();
    }
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('H12: is not used if others can change it, or if it is no file', async () => {
    await writeFile(path, `[a.example]:6121 ${KEY}\n`);
    await chmod(path, 0o622);
    await expect(file.load()).rejects.toThrow(/others can change it.*chmod go-w/);
    await chmod(path, 0o644);
    await file.load();
    await expect(new KnownHostsFile(folder).load()).rejects.toMatchObject({ code: 'ERR_KEYMUX_TRUST_FILE' });
    await symlink(join(folder, 'nowhere', 'at all'), `${path}-link`);
    expect((await new KnownHostsFile(`${path}-link`).load()).check(HOST, identity).kind).toBe('unknown');
  });
});

describe('a pattern', () => {
  it.each([
    ['', '', true],
    ['*', '', true],
    ['?', '', false],
    ['a*c', 'abbc', true],
    ['a*c', 'abb', false],
    ['*b*', 'abc', true],
    ['a.c', 'abc', false],
    ['**', 'x', true],
    ['a?c*', 'abcd', true],
  ])('%s matches "%s": %s', (pattern, text, expected) => {
    expect(matchesPattern(pattern, text)).toBe(expected);
  });

  it('does not take long, however many stars it has', () => {
    expect(matchesPattern('*a'.repeat(200), 'b'.repeat(5_000))).toBe(false);
    expect(matchesPattern(`${'*a'.repeat(200)}b`, 'a'.repeat(5_000))).toBe(false);
  });
});
