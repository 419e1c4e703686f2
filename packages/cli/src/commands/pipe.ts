import { type RemoteKeeper, removeLeftBehind } from '@keymux/keeper';
import { LocalSpipedKeeper, type PreSharedKey, type SpipedKeeper, type SpipedRole } from '@keymux/keys';
import {
  type PipeAddress,
  PipeAddressError,
  type PipeOptions,
  type PipeReport,
  PipeServer,
  type PipeServerOptions,
  parsePipeAddress,
  pipeStreams,
} from '@keymux/pipe';
import { z } from 'zod';
import { flag, readConfig } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { readKey, readKeyFromInput } from '../keys.ts';
import type { Output } from '../output.ts';
import { sayUnchanged } from '../reload.ts';
import { serveUntilSignal } from '../serve.ts';
import { KEEPER_OPTIONS, remoteKeeper } from '../server-keeper.ts';
import { type PassedSocket, passedSocket } from '../service/passed-sockets.ts';
import { optionName } from '../settings.ts';

/** Options of spiped that are not offered, and why. */
const NOT_OFFERED = {
  fast: '-f would leave out the Diffie-Hellman exchange: who learns the key later could read what was recorded',
  waitForDns: 'with -D spiped waits for the name of the target; here names are looked up for each connection',
  pidfile: 'this program stays in the foreground; leave -p out and let the service manager watch it',
  resolveEvery: 'names are looked up for each connection; leave -r out',
  resolveOnce: 'names are looked up for each connection; write the address instead of -R',
  syslog: 'messages go to standard error; let the service manager pass them on',
  user: 'start the program as that user, for example with "User=" of systemd',
} as const;

const TIMEOUT = 'write seconds, 0.1 to 3600';
const CONNECTIONS = 'write how many connections may be open at once, 0 for any number';

const address = z.string().transform(toAddress);

const schema = z.object({
  encrypt: flag,
  decrypt: flag,
  source: z
    .string()
    .transform((text, context) => (text === '-' ? undefined : toSource(text, context)))
    .optional(),
  target: address.optional(),
  key: z.string().optional(),
  ...KEEPER_OPTIONS,
  label: z.string().optional(),
  maxConnections: z.coerce.number(CONNECTIONS).int(CONNECTIONS).min(0, CONNECTIONS).default(100),
  timeout: z.coerce.number(TIMEOUT).min(0.1, TIMEOUT).max(3600, TIMEOUT).default(5),
  bind: z
    .string()
    .transform((text) => (/^\/|:[0-9]+$/.test(text) ? text : `${text}:0`))
    .pipe(address)
    .optional(),
  withoutKeepAlive: flag,
  requireForwardSecrecy: flag,
  foreground: flag,
});

type PipeConfig = z.output<typeof schema>;

/** `keymux pipe` */
export async function pipe(argv: Record<string, unknown>, output: Output): Promise<void> {
  for (const [name, why] of Object.entries(NOT_OFFERED)) {
    if (argv[name] !== undefined) throw new ConfigError(`--${optionName(name)} is not offered: ${why}`);
  }
  const config = await readConfig(schema, argv);
  const remote = await remoteKeeper(config, output);
  try {
    await run(config, remote, () => readConfig(schema, argv), output);
  } finally {
    remote?.close();
  }
}

async function run(
  config: PipeConfig,
  remote: RemoteKeeper | undefined,
  read: () => Promise<PipeConfig>,
  output: Output,
): Promise<void> {
  const options = await pipeOptions(config, remote, output, readKeyFromInput);
  const { source } = config;
  if (source === undefined) return pipeStandard(options);
  const server = new PipeServer(options);
  const reload = async (): Promise<void> => {
    const next = await read();
    const stays = { ...next, source, keeper: config.keeper };
    server.reconfigure(await pipeOptions(stays, remote, output, cannotComeAgain));
    sayUnchanged(['source', 'keeper'], config, next, output);
  };
  await serve(server, source, options.role, reload, output);
}

async function cannotComeAgain(): Promise<never> {
  throw new ConfigError('the key came from standard input (--key -), and cannot be read again: name a file');
}

function toSource(text: string, context: z.RefinementCtx): PipeAddress | PassedSocket {
  const passed = passedSocket(text);
  if (passed === undefined) return toAddress(text, context);
  if (typeof passed === 'object') return passed;
  context.addIssue({ code: 'custom', message: passed });
  return z.NEVER;
}

function toAddress(text: string, context: z.RefinementCtx): PipeAddress {
  try {
    return parsePipeAddress(text);
  } catch (error) {
    if (!(error instanceof PipeAddressError)) throw error;
    const message = 'write /path/of/socket, host:port, [IPv4]:port or [IPv6]:port';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
}

function checkMode({ source, encrypt, decrypt, key }: PipeConfig, output: Output): void {
  if (encrypt && decrypt) throw new ConfigError('give one of --encrypt and --decrypt');
  if (source !== undefined) {
    if (!encrypt && !decrypt)
      throw new ConfigError('what comes in at --source: is it to --encrypt, or to --decrypt?');
    return;
  }
  if (decrypt)
    throw new ConfigError('--decrypt needs --source: standard input and output are the side in the clear');
  if (output.json) throw new ConfigError('--json needs --source: standard output is for what is piped');
  if (key === '-') throw new ConfigError('--key - needs --source: standard input is for what is piped');
}

/** Reads the key, or chooses that of the keeper. Rejects with ConfigError or KeyError. `readInput` is for one from standard input. */
async function pipeOptions(
  config: PipeConfig,
  remote: RemoteKeeper | undefined,
  output: Output,
  readInput: () => Promise<PreSharedKey>,
): Promise<PipeServerOptions> {
  const { decrypt, timeout, bind, withoutKeepAlive, maxConnections, target, key: file } = config;
  if (target === undefined)
    throw new ConfigError('say where to connect: --target HOST:PORT, or a socket /PATH');
  if (file === undefined && remote === undefined)
    throw new ConfigError('give --key FILE, the same file as on the other side, or --keeper');
  checkMode(config, output);
  if (bind !== undefined && 'path' in bind) throw new ConfigError('--bind takes an address: [IP]:PORT');
  if (remote !== undefined) keptPipe(remote, config.label); // says now what is wrong
  const keeper = remote
    ? { start: (role: SpipedRole) => keptPipe(remote, config.label).start(role) }
    : new LocalSpipedKeeper({
        key: file === '-' ? await readInput() : await readKey(file as string, output),
      });
  return {
    role: decrypt ? 'server' : 'client',
    keeper,
    target,
    bind,
    timeout: timeout * 1000,
    keepAlive: !withoutKeepAlive,
    maxConnections,
  };
}

/** The key of a keeper that --label names, or its only one for pipes. Throws ConfigError if there is no such key. */
function keptPipe(remote: RemoteKeeper, label: string | undefined): SpipedKeeper {
  const { pipes } = remote;
  const [only, ...more] = label === undefined ? pipes : pipes.filter((known) => known === label);
  if (only === undefined)
    throw new ConfigError(
      `the keeper has no key ${label === undefined ? '' : `${label} `}for pipes: give it --pipe-key FILE`,
    );
  if (more.length > 0)
    throw new ConfigError(
      `the keeper has several keys for pipes; name one, --label LABEL: ${pipes.join(', ')}`,
    );
  return remote.pipe(only);
}

async function pipeStandard(options: PipeOptions): Promise<void> {
  // Elsewhere a reader that goes away has seen enough. Here it is a failure, of which the peer is told by a reset.
  process.stdout.removeAllListeners('error');
  await pipeStreams({ input: process.stdin, output: process.stdout }, options);
}

async function serve(
  server: PipeServer,
  source: PipeAddress | PassedSocket,
  role: PipeOptions['role'],
  reload: () => Promise<void>,
  output: Output,
): Promise<void> {
  server.on('connection', (peer) => output.log({ event: 'connection', peer }));
  server.on('end', (report) => logEnd(report, output));
  server.on('refused', (peer) => {
    const text = `${peer} closed at once: as many connections are open as --max-connections lets`;
    output.log({ event: 'refused', peer }, text);
  });
  const what = role === 'client' ? 'pipe that encrypts' : 'pipe that decrypts';
  const service = { reload, close: () => server.close() };
  await removeLeftBehind('path' in source ? source.path : undefined);
  await serveUntilSignal(what, service, await server.listen(source), output);
}

function logEnd({ error, ...report }: PipeReport, output: Output): void {
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  output.log(
    { event: 'connection-end', ...report, ...(error ? { error: { code, message } } : {}) },
    error && `${report.peer || 'connection'} failed: ${message}`,
  );
}
