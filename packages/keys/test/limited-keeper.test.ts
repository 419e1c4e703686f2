import { describe, expect, it } from 'vitest';
import { ALGORITHM, ANONYMOUS_LABEL, SIGNED_LABEL } from '../src/index.ts';
import { keeperOf, LABEL, Link, Side } from './link.ts';
import { METHODS } from './methods.ts';

/** A run between keepers that hold the same, where what the two sides may use them for is limited. */
async function play(
  algorithm: number,
  label: string,
  allowed: { readonly client: readonly string[]; readonly server: readonly string[] },
): Promise<Link> {
  const wire = new Link(
    new Side('client', keeperOf('client').limitedTo(allowed.client)),
    new Side('server', keeperOf('server').limitedTo(allowed.server)),
  );
  wire.client.registry.negotiate({ algorithm, label, authority: 'a.example' });
  await wire.run();
  return wire;
}

describe.each(METHODS)('a keeper limited to authorities, $name', ({ algorithm, label }) => {
  it('makes keys for those', async () => {
    const { client } = await play(algorithm, label, { client: ['a.example'], server: ['', 'a.example'] });
    expect(client.failure).toBeUndefined();
    expect(client.established).toHaveLength(1);
  });

  it('begins no run for others', async () => {
    const { client, frames } = await play(algorithm, label, { client: [''], server: ['a.example'] });
    expect(client.failure).toMatchObject({ scope: 'usage', code: 'ERR_KEYMUX_KEY_UNKNOWN' });
    expect(frames).toEqual([]);
  });

  it('answers none for others, as if it had nothing for them', async () => {
    const { client, server } = await play(algorithm, label, { client: ['a.example'], server: [''] });
    expect(server.established).toEqual([]);
    expect(client.established).toEqual([]);
    const failure = server.failure ?? client.failure;
    expect(failure).toMatchObject({ scope: 'session' });
  });
});

describe('what a keeper tells of its keys', () => {
  const both = ['initiator', 'responder'];
  const all = ['', 'a.example'].flatMap((authority) => [
    { label: LABEL, authority, roles: both, proves: 'key' },
    { label: SIGNED_LABEL, authority, roles: both, proves: 'identity' },
    { label: ANONYMOUS_LABEL, authority, roles: both, proves: 'nobody' },
  ]);

  it('is labels, authorities and roles', () => {
    const { kept } = keeperOf('client');
    expect(kept).toHaveLength(all.length);
    expect(kept).toEqual(expect.arrayContaining(all));
  });

  it('is what somebody may use, if that is limited', () => {
    const limited = keeperOf('client').limitedTo(['a.example', 'b.example']);
    expect(limited.kept.map(({ authority }) => authority)).toEqual(['a.example', 'a.example', 'a.example']);
    expect(limited.algorithms).toEqual(Object.values(ALGORITHM).sort((a, b) => a - b));
  });
});
