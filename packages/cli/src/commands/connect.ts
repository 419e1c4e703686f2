import type { AddressInfo } from 'node:net';
import { Client, Reconnector } from '@keymux/client';
import { ALGORITHM, ANONYMOUS_LABEL, algorithmName, Identities, SIGNED_LABEL } from '@keymux/keys';
import { createHttpFront, DestinationPolicy } from '@keymux/proxy';
import type { KeyInfo } from '@keymux/session';
import { z } from 'zod';
import { algorithms, flag, isAnonymous, list, listenAddress, readConfig } from '../config.ts';
import { withFirstContact } from '../first-contact.ts';
import { knownHostsFile, loadSigner } from '../identities.ts';
import { addUse, loadKeys } from '../keys.ts';
import type { Output } from '../output.ts';
import { serveUntilSignal } from '../serve.ts';

const schema = z
  .object({
    proxy: z.string(),
    listen: listenAddress.default({ host: '127.0.0.1', port: 8118 }),
    key: z.string().optional(),
    identity: z.string().optional(),
    knownHosts: z.string().optional(),
    algorithm: algorithms,
    once: list,
    clear: flag,
  })
  .refine(
    ({ key, identity, clear, algorithm }) =>
      key !== undefined || identity !== undefined || clear || isAnonymous(algorithm),
    {
      path: ['key'],
      message:
        'give --key FILE or --identity FILE to seal what goes to the proxy, or --clear to send everything readable',
    },
  )
  .refine(
    ({ key, identity, clear, algorithm }) =>
      identity === undefined || (key === undefined && !clear && !isAnonymous(algorithm)),
    { path: ['identity'], message: 'an identity goes with none of --key, --clear and --algorithm anonymous' },
  )
  .refine(({ key, clear, algorithm }) => !isAnonymous(algorithm) || (key === undefined && !clear), {
    path: ['algorithm'],
    message: 'an anonymous key goes with neither --key nor --clear',
  })
  .refine(({ key, clear }) => key === undefined || !clear, {
    path: ['clear'],
    message: 'there is a --key too; give one of them',
  });

interface Uplink {
  readonly client: Client;
  readonly key: KeyInfo | undefined;
}

/** `keymux connect PROXY` */
export async function connect(argv: Record<string, unknown>, output: Output): Promise<void> {
  const config = await readConfig(schema, argv);
  const uses = new Map<string, string[]>();
  if (config.key !== undefined) addUse(uses, config.key, '');
  const knownHosts = knownHostsFile(config.knownHosts);
  const identities = new Identities();
  if (config.identity !== undefined) {
    identities.add(await loadSigner(config.identity), { authorities: [''], trust: { knownHosts } });
  }
  const algorithm = config.identity === undefined ? config.algorithm : [ALGORITHM.SIGNED];
  const anonymous = isAnonymous(algorithm) ? [''] : [];
  const { keeper, labels } = await loadKeys(uses, ['initiator'], output, {
    algorithms: config.algorithm,
    anonymous,
    ...(config.identity === undefined ? {} : { identities }),
  });
  const label =
    config.identity !== undefined
      ? SIGNED_LABEL
      : isAnonymous(algorithm)
        ? ANONYMOUS_LABEL
        : labels.get(config.key ?? '');
  const once = new DestinationPolicy(config.once);
  let current: Client | undefined;
  const stopping = new AbortController();
  const uplink = new Reconnector<Uplink>(
    async () => {
      const client = await Client.connect(config.proxy, { keeper });
      current = client;
      const key = label === undefined ? undefined : await negotiate(client, algorithm, label);
      client.session.on('close', (error) => {
        output.log(
          { event: 'disconnected', error: error?.message },
          error && `session with ${config.proxy} ended: ${error.message}`,
        );
      });
      output.log(
        { event: 'connected', proxy: config.proxy, level: key?.level ?? 'none', keyId: key?.keyId ?? 0 },
        `session with ${config.proxy}: ${key ? `sealed with key ${key.keyId} (${algorithmName(key.algorithm)})` : 'in the clear'}`,
      );
      return { client, key };
    },
    ({ client }) => client.session.takesStreams,
    { signal: stopping.signal },
  );
  await withFirstContact(() => uplink.get(), knownHosts, output);
  const front = createHttpFront(async ({ host, port }, signal) => {
    const { client, key } = await uplink.get();
    return client.tunnel(host, port, { key, selfProtected: once.names(host, port), signal });
  });
  const service = {
    close: async (): Promise<void> => {
      stopping.abort(new Error('keymux connect is ending'));
      front.close();
      front.closeIdleConnections();
      await current?.close();
    },
  };
  await new Promise<void>((resolve, reject) => {
    front.once('error', reject);
    front.listen(config.listen, resolve);
  });
  await serveUntilSignal('local HTTP proxy', service, front.address() as AddressInfo | string, output);
}

/** A session whose negotiation failed is of no use, and would keep the process alive. */
async function negotiate(client: Client, algorithm: readonly number[], label: string): Promise<KeyInfo> {
  try {
    return await client.negotiate({ algorithm, label });
  } catch (error) {
    client.session.destroy();
    throw error;
  }
}
