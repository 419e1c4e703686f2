import { Reconnector } from '@keymux/client';
import { algorithmName, type KeyLog, KnownHostsFile } from '@keymux/keys';
import { createHttpFront, DestinationPolicy } from '@keymux/proxy';
import { z } from 'zod';
import { algorithms, flag, isAnonymous, list, listenAddress, readSettings } from '../config.ts';
import { withFirstContact } from '../first-contact.ts';
import { keyLogFiles } from '../key-log-files.ts';
import type { LoadedKeys } from '../keys.ts';
import { type Output, reasonsOf } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { loadProxy, openKept } from '../route/keepers.ts';
import { withParty } from '../route/party.ts';
import { type KeptBy, type ProxyPlan, planKnownHosts, planProxy } from '../route/plan.ts';
import { connectToProxy } from '../route/route.ts';
import { formatPlace } from '../route/target.ts';
import { serveUntilSignal } from '../serve.ts';
import { KEEPER_OPTIONS } from '../server-keeper.ts';
import type { Settings } from '../settings.ts';
import { Uplink } from '../uplink.ts';

const schema = z
  .object({
    proxy: z.string(),
    listen: listenAddress.default({ host: '127.0.0.1', port: 8118 }),
    key: z.string().optional(),
    identity: z.string().optional(),
    ...KEEPER_OPTIONS,
    algorithm: algorithms,
    once: list,
    clear: flag,
    keylog: list,
  })
  .refine(
    ({ key, identity, keeper, clear, algorithm }) =>
      [key, identity, keeper].some((value) => value !== undefined) || clear || isAnonymous(algorithm),
    {
      path: ['key'],
      message:
        'give --key FILE, --identity FILE or --keeper unix:PATH to seal what goes to the proxy, or --clear to send everything readable',
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
  .refine(({ key, keeper, clear }) => (key === undefined && keeper === undefined) || !clear, {
    path: ['clear'],
    message: 'there is a --key or --keeper too; give one of them',
  });

/** How the proxy is reached, as the configuration says it. */
interface Way {
  readonly proxy: ProxyPlan;
  readonly keys: LoadedKeys;
  readonly knownHosts: KnownHostsFile;
  readonly keyLog: KeyLog | undefined;
  /** What protects itself. */
  readonly once: DestinationPolicy;
  readonly listen: z.output<typeof listenAddress>;
}

/** `keymux connect PROXY` */
export async function connect(argv: Record<string, unknown>, output: Output): Promise<void> {
  const settings = await readSettings(schema, argv);
  const kept = await openKept(settings, output);
  try {
    await run(settings, kept, () => readSettings(schema, argv), output);
  } finally {
    kept?.keeper.close();
  }
}

type Options = Settings<z.output<typeof schema>>;

async function run(
  settings: Options,
  kept: KeptBy | undefined,
  read: () => Promise<Options>,
  output: Output,
): Promise<void> {
  let way = await readWay(settings, kept, output);
  const { listen } = way;
  const uplinks = new Set<Uplink>();
  const stopping = new AbortController();
  const current = new Reconnector<Uplink>(
    async () => {
      for (;;) {
        const used = way;
        const { uplink, closed } = await openUplink(used, output);
        uplinks.add(uplink);
        void closed.then(() => uplinks.delete(uplink));
        if (used === way) return uplink;
        uplink.retire(); // the configuration was read again in the meantime
      }
    },
    ({ usable }) => usable,
    { signal: stopping.signal },
  );
  await withFirstContact(() => current.get(), way.knownHosts, output);
  const front = createHttpFront(async ({ host, port }, signal) => {
    try {
      const uplink = await current.get();
      return await uplink.tunnel(host, port, way.once.names(host, port), signal);
    } catch (error) {
      if (!signal.aborted) sayFailed(formatPlace({ host, port }), error, output);
      throw error;
    }
  });
  const service = {
    reload: async (): Promise<void> => {
      const again = await read();
      const next = await readWay(again, kept, output);
      sayUnchanged(['listen', 'keeper'], settings.values, again.values, output);
      way = { ...next, listen };
      for (const uplink of uplinks) uplink.retire();
    },
    close: async (): Promise<void> => {
      stopping.abort(new Error('keymux connect is ending'));
      front.close();
      front.closeIdleConnections();
      await Promise.all([...uplinks].map((uplink) => uplink.close()));
    },
  };
  await new Promise<void>((resolve, reject) => {
    front.once('error', reject);
    front.listen(listen, resolve);
  }).catch(async (error: unknown) => {
    await service.close(); // the session is open already
    throw error;
  });
  await serveUntilSignal('local HTTP proxy', service, front.address() ?? '', output);
}

/** Programs show little of what a proxy answers to CONNECT: curl the status alone. */
function sayFailed(destination: string, error: unknown, output: Output): void {
  const reason = reasonsOf(error).join('; ');
  const { status } = error as { readonly status?: number };
  output.log(
    { event: 'tunnel-failed', destination, status, error: reason },
    reason.startsWith(destination) ? reason : `${destination}: ${reason}`,
  );
}

async function readWay(settings: Options, kept: KeptBy | undefined, output: Output): Promise<Way> {
  const { keylog, once, listen, proxy: name } = settings.values;
  const proxy = planProxy({
    address: settings.chosen('proxy'),
    key: settings.chosen('key'),
    identity: settings.chosen('identity'),
    algorithms: settings.chosen('algorithm'),
    kept,
  });
  const knownHosts = new KnownHostsFile(planKnownHosts(settings.chosen('knownHosts')).value);
  const keys = await loadProxy(proxy, knownHosts.name, output);
  const keyLog = keyLogFiles(keylog, output, name);
  return { proxy, keys, knownHosts, keyLog, once: new DestinationPolicy(once), listen };
}

async function openUplink(
  { proxy, keys, keyLog }: Way,
  output: Output,
): Promise<{ uplink: Uplink; closed: Promise<unknown> }> {
  const name = proxy.address.value;
  const { client, key } = await connectToProxy(proxy, { proxy: keys }, keyLog);
  // The proxy has the last word on an identity, after this side has its key: only an answer under it says that we are let in.
  if (key !== undefined) await withParty(`the proxy ${name}`, () => client.session.ping());
  client.session.on('close', (error) => {
    output.log(
      { event: 'disconnected', error: error?.message },
      `session with ${name} ended${error ? `: ${error.message}` : ''}`,
    );
  });
  output.log(
    { event: 'connected', proxy: name, level: key?.level ?? 'none', keyId: key?.keyId ?? 0 },
    `session with ${name}: ${key ? `sealed with key ${key.keyId} (${algorithmName(key.algorithm)})` : 'in the clear'}`,
  );
  return { uplink: new Uplink(client, key), closed: client.session.closed };
}
