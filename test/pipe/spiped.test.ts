import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { parsePipeAddress } from '@keymux/pipe';
import { afterEach, describe, expect, test } from 'vitest';
import { hashOf, payload, payloadBuffer, payloadHash } from '../support/payload.ts';
import { KeymuxProcess, keymux, PROGRAM, run } from '../support/processes.ts';
import { Scope } from '../support/scope.ts';
import { tcpServer } from '../support/servers.ts';
import { allOf, dial, echo, spipedMissing, startMiddle, startPipe, startSpiped } from '../support/spiped.ts';
import { makeKey } from '../support/tunnel.ts';

const MIB = 2 ** 20;
/** What goes each way in bulk: little, for all combinations together take as long as 100 MiB in one. More on request. */
const BULK = Number(process.env.KEYMUX_TEST_PIPE_MIB ?? 20) * MIB;
const HAS_IPV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);
const scope = new Scope();
afterEach(() => scope.close());

/** The entrance of a pair that leads to `target`, with who encrypts first. */
const PAIRS: Record<string, (target: string, key: string, other?: string) => Promise<string>> = {
  'keymux -e, spiped -d': async (target, key, other = key) => {
    const wire = await startSpiped(scope, '-d', target, other);
    return (await startPipe(scope, key, { role: 'client', target: parsePipeAddress(wire) })).address;
  },
  'spiped -e, keymux -d': async (target, key, other = key) => {
    const wire = await startPipe(scope, other, { role: 'server', target: parsePipeAddress(target) });
    return startSpiped(scope, '-e', wire.address, key);
  },
  'keymux -e, keymux -d': async (target, key, other = key) => {
    const loopback = { host: HAS_IPV6 ? '::1' : '127.0.0.1', port: 0 };
    const wire = await startPipe(
      scope,
      other,
      { role: 'server', target: parsePipeAddress(target) },
      loopback,
    );
    return (await startPipe(scope, key, { role: 'client', target: parsePipeAddress(wire.address) })).address;
  },
};

interface Side {
  readonly input: Writable;
  readonly output: Readable;
}

/** As PAIRS, and with standard input and output, all of ours as processes of their own. */
const PROGRAMS: Record<string, (target: string, key: string) => Promise<Side>> = {
  'keymux -e, spiped -d': async (target, key) => {
    const wire = await startSpiped(scope, '-d', target, key);
    return dialed((await program('-e', wire, key)).address);
  },
  'spiped -e, keymux -d': async (target, key) => {
    const wire = await program('-d', target, key);
    return dialed(await startSpiped(scope, '-e', wire.address, key));
  },
  'keymux -e, keymux -d': async (target, key) => {
    const wire = await program('-d', target, key);
    return dialed((await program('-e', wire.address, key)).address);
  },
  'spipe, keymux -d': async (target, key) => {
    const wire = await program('-d', target, key);
    return standard('spipe', ['-t', wire.address, '-k', key]);
  },
  'keymux pipe, spiped -d': async (target, key) => {
    const wire = await startSpiped(scope, '-d', target, key);
    return standard(process.execPath, [PROGRAM, 'pipe', '-t', wire, '-k', key]);
  },
};

function program(mode: '-e' | '-d', target: string, key: string): Promise<KeymuxProcess> {
  return KeymuxProcess.start(scope, ['pipe', mode, '-s', '[127.0.0.1]:0', '-t', target, '-k', key]);
}

function dialed(address: string): Side {
  const socket = dial(scope, address.startsWith('127.') ? address.replace(/^(.*):/, '[$1]:') : address);
  return { input: socket, output: socket };
}

function standard(command: string, args: readonly string[]): Side {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  scope.defer(() => void child.kill());
  return { input: child.stdin, output: child.stdout };
}

describe.skipIf(spipedMissing)("with Debian's spiped and spipe", () => {
  test.each(Object.keys(PROGRAMS))(
    `%s: ${BULK / MIB} MiB each way at once`,
    { timeout: 600_000 },
    async (pair) => {
      const { address } = await echo(scope);
      const side = await (PROGRAMS[pair] as (typeof PROGRAMS)[string])(address, await makeKey(scope));
      const [back] = await Promise.all([hashOf(side.output), pipeline(payload(BULK), side.input)]);
      expect(back).toEqual({ bytes: BULK, sha256: payloadHash(BULK) });
    },
  );

  test.each(Object.keys(PAIRS))('%s: 3 MiB each way, in bits and pieces', async (pair) => {
    const { address } = await echo(scope);
    const socket = dial(scope, await (PAIRS[pair] as (typeof PAIRS)[string])(address, await makeKey(scope)));
    const whole = payloadBuffer(3 * MIB + 77);
    const back = buffer(socket);
    for (let at = 0, size = 1; at < whole.length; at += size, size = (size * 3) % 200_003) {
      if (!socket.write(whole.subarray(at, at + size))) await once(socket, 'drain');
      size = Math.max(size, 1);
    }
    socket.end();
    expect((await back).equals(whole)).toBe(true);
  });

  test.each(Object.keys(PAIRS))('%s: each direction ends by itself', async (pair) => {
    const port = await tcpServer(scope, async (socket) => {
      socket.end(`you said ${(await allOf(socket)).text}`);
    });
    const target = `[127.0.0.1]:${port}`;
    const socket = dial(scope, await (PAIRS[pair] as (typeof PAIRS)[string])(target, await makeKey(scope)));
    socket.end('one thing');
    expect(await allOf(socket)).toEqual({ text: 'you said one thing', broken: false });
    // And with the server as the first to end.
    const greeter = await tcpServer(scope, (socket) => {
      socket.end('welcome');
      socket.on('data', (said) => heard.push(String(said)));
    });
    const heard: string[] = [];
    const other = dial(
      scope,
      await (PAIRS[pair] as (typeof PAIRS)[string])(`[127.0.0.1]:${greeter}`, await makeKey(scope)),
    );
    expect(await allOf(other)).toEqual({ text: 'welcome', broken: false });
    other.end('late');
    await expect.poll(() => heard).toEqual(['late']);
  });

  test.each(Object.keys(PAIRS))('%s: with two keys nothing comes through', async (pair) => {
    const { address, sockets } = await echo(scope);
    const keys = [await makeKey(scope), await makeKey(scope)] as const;
    const socket = dial(scope, await (PAIRS[pair] as (typeof PAIRS)[string])(address, ...keys));
    socket.write('secret');
    expect((await allOf(socket)).text).toBe('');
    expect(sockets.filter(({ bytesRead }) => bytesRead > 0)).toEqual([]);
  });

  test('spipe to keymux -d, and standard input and output of keymux to spiped -d', async () => {
    const key = await makeKey(scope);
    const { address } = await echo(scope);
    const input = payloadBuffer(MIB + 1).toString('base64');
    const pipe = await startPipe(scope, key, { role: 'server', target: parsePipeAddress(address) });
    const spipe = await run('spipe', ['-t', pipe.address, '-k', key], { input });
    expect([spipe.code, spipe.stdout === input]).toEqual([0, true]);
    const wire = await startSpiped(scope, '-d', address, key);
    const ours = await keymux(['pipe', '-t', wire, '-k', key], { input });
    expect([ours.code, ours.stdout === input, ours.stderr]).toEqual([0, true, '']);
  });

  test('a key file that spiped takes and that is not from keygen', async () => {
    const key = (await scope.directory())('key');
    await writeFile(key, Buffer.alloc(70_000, 'a file of any length\n'), { mode: 0o600 });
    const { address } = await echo(scope);
    const socket = dial(scope, await (PAIRS['spiped -e, keymux -d'] as (typeof PAIRS)[string])(address, key));
    socket.end('hello');
    expect(await allOf(socket)).toEqual({ text: 'hello', broken: false });
  });

  test.each(['client', 'server'] as const)(
    'spiped and keymux both refuse a changed packet of the %s',
    async (liar) => {
      const key = await makeKey(scope);
      for (const ours of ['-e', '-d'] as const) {
        const { address } = await echo(scope);
        const alter = (from: string, index: number, message: Buffer): Buffer[] => {
          if (from === liar && index === 3) message[9] = (message[9] as number) ^ 1;
          return [message];
        };
        const inner =
          ours === '-e'
            ? await startSpiped(scope, '-d', address, key)
            : (await startPipe(scope, key, { role: 'server', target: parsePipeAddress(address) })).address;
        const middle = await startMiddle(scope, inner, alter);
        const outer =
          ours === '-e'
            ? (await startPipe(scope, key, { role: 'client', target: parsePipeAddress(middle) })).address
            : await startSpiped(scope, '-e', middle, key);
        const socket = dial(scope, outer);
        socket.write('first');
        const [first] = (await once(socket, 'data')) as [Buffer];
        expect(String(first)).toBe('first');
        socket.write('second');
        expect((await allOf(socket)).text).toBe('');
      }
    },
  );
});
