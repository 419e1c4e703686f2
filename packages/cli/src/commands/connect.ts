import type { AddressInfo } from 'node:net';
import { type Client, Reconnector } from '@keymux/client';
import { algorithmName, KnownHostsFile } from '@keymux/keys';
import { createHttpFront, DestinationPolicy } from '@keymux/proxy';
import type { KeyInfo } from '@keymux/session';
import { z } from 'zod';
import { algorithms, flag, isAnonymous, list, listenAddress, readSettings } from '../config.ts';
import { withFirstContact } from '../first-contact.ts';
import { keyLogFiles } from '../key-log-files.ts';
import type { Output } from '../output.ts';
import { loadProxy } from '../route/keepers.ts';
import { planKnownHosts, planProxy } from '../route/plan.ts';
import { connectToProxy } from '../route/route.ts';
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
    keylog: list,
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
  const settings = await readSettings(schema, argv);
  const config = settings.values;
  const proxy = planProxy({
    address: settings.chosen('proxy'),
    key: settings.chosen('key'),
    identity: settings.chosen('identity'),
    algorithms: settings.chosen('algorithm'),
  });
  const knownHosts = new KnownHostsFile(planKnownHosts(settings.chosen('knownHosts')).value);
  const keys = await loadProxy(proxy, knownHosts.name, output);
  const keyLog = keyLogFiles(config.keylog, output, config.proxy);
  const once = new DestinationPolicy(config.once);
  let current: Client | undefined;
  const stopping = new AbortController();
  const uplink = new Reconnector<Uplink>(
    async () => {
      const { client, key } = await connectToProxy(proxy, { proxy: keys }, keyLog);
      current = client;
      // The proxy has the last word on an identity, after this side has its key: only an answer under it says that we are let in.
      if (key !== undefined) await client.session.ping();
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
  }).catch(async (error: unknown) => {
    await service.close(); // the session is open already
    throw error;
  });
  await serveUntilSignal('local HTTP proxy', service, front.address() as AddressInfo | string, output);
}
