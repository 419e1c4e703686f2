import { tuneMemory } from '@keymux/streams/tune-memory';
import yargs, { type Argv } from 'yargs';
import { ConfigError } from './errors.ts';
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts';
import { closeDebugger } from './hardening.ts';
import { connectOptions, explainOptions, getOptions } from './options/clients.ts';
import { demoOptions, demoWiretapOptions } from './options/demo.ts';
import { keeperOptions, keygenOptions } from './options/keys.ts';
import { pipeOptions } from './options/pipe.ts';
import { frontOptions, originOptions, proxyOptions } from './options/servers.ts';
import { dumpOptions, tapOptions } from './options/wire.ts';
import { Output, printError } from './output.ts';

type Options = Record<string, unknown>;
type Command = (argv: Options, output: Output) => Promise<unknown>;

/** Each is loaded when it is run: nobody waits for what belongs to the others. */
const COMMANDS = {
  keygen: async (argv, output) => (await import('./commands/keygen.ts')).keygen(String(argv.file), output),
  proxy: async (argv, output) => (await import('./commands/proxy.ts')).proxy(argv, output),
  connect: async (argv, output) => (await import('./commands/connect.ts')).connect(argv, output),
  origin: async (argv, output) => (await import('./commands/origin.ts')).origin(argv, output),
  front: async (argv, output) => (await import('./commands/front.ts')).front(argv, output),
  keeper: async (argv, output) => (await import('./commands/keeper.ts')).keeper(argv, output),
  get: async (argv, output) => (await import('./commands/get.ts')).get(argv, output),
  explain: async (argv, output) => (await import('./commands/explain.ts')).explain(argv, output),
  pipe: async (argv, output) => (await import('./commands/pipe.ts')).pipe(argv, output),
  dump: async (argv, output) => (await import('./commands/dump.ts')).dump(argv, output),
  tap: async (argv, output) => (await import('./commands/tap.ts')).tap(argv, output),
  demo: async (argv, output) => (await import('./commands/demo.ts')).demo(argv, output),
} as const satisfies Record<string, Command>;
const demoWiretap: Command = async (argv, output) =>
  (await import('./commands/demo-wiretap.ts')).demoWiretap(argv, output);

const EXIT_CODES = `Exit status: 0 done, 1 failed, 2 usage or configuration, 3 peer unreachable, 4 keys do not fit,
5 refused or protected too weakly, 6 peer is shutting down.`;

const COMPLETION_HELP = `keymux completion

Print a completion script for the shell in $SHELL: bash or zsh

Examples:
  keymux completion >> ~/.bashrc
  keymux completion >> ~/.zshrc
`;

/** Runs the program with its arguments (without node and the script); resolves with the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.off('error', endWithReader).on('error', endWithReader); // once, however often this is called
  closeDebugger();
  tuneMemory();
  let exit: ExitCode = EXIT.OK;
  const run =
    (command: Command) =>
    async (argv: Options): Promise<void> => {
      const output = new Output({ json: argv.json === true });
      try {
        const result = await command(pick(argv), output);
        exit = typeof result === 'number' ? (result as ExitCode) : EXIT.OK;
      } catch (error) {
        printError(error);
        exit = exitCodeOf(error);
      }
    };
  const parser = commands(yargs([...args]), run, (message) => rephrase(message, args));
  if (asksAboutCompletion(args)) {
    process.stdout.write(COMPLETION_HELP);
    return EXIT.OK;
  }
  try {
    await parser.parseAsync();
  } catch (error) {
    printError(error);
    const command = args[0] !== undefined && Object.hasOwn(COMMANDS, args[0]) ? `${args[0]} ` : '';
    process.stderr.write(`See: keymux ${command}--help\n`);
    return EXIT.USAGE;
  }
  return exit;
}

/** yargs prints the script, whatever else is asked of its command. */
function asksAboutCompletion(args: readonly string[]): boolean {
  return args[0] === 'completion' && args.some((arg) => arg === '--help' || arg === '-h');
}

/** Who reads what is printed has seen enough. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.OK);
  throw error;
}

function commands(
  parser: Argv,
  run: (command: Command) => (argv: Options) => Promise<void>,
  inWords: (message: string) => string,
): Argv {
  return parser
    .scriptName('keymux')
    .usage('$0 COMMAND: many streams over one connection, each encrypted with the key that fits it')
    .option('json', {
      type: 'boolean',
      describe: 'Print results and events as JSON on standard output',
      global: true,
    })
    .option('config', {
      type: 'string',
      describe: 'JSON file with the same options; the command line wins',
      global: true,
    })
    .command(
      'keygen <file>',
      'Make a key file: 32 random bytes that only you can read',
      keygenOptions,
      run(COMMANDS.keygen),
    )
    .command(
      'proxy',
      'Run a CONNECT proxy that keymux and SPDY/3.1 clients share',
      proxyOptions,
      run(COMMANDS.proxy),
    )
    .command(
      'connect <proxy>',
      'Keep one session to a proxy and offer it as a local HTTP proxy',
      connectOptions,
      run(COMMANDS.connect),
    )
    .command(
      'origin',
      'Serve directories, or a demo site, for several hosts, each with its own key',
      originOptions,
      run(COMMANDS.origin),
    )
    .command(
      'front',
      'Be one address for several hosts, each with its key in a process of its own; reads nothing',
      frontOptions,
      run(COMMANDS.front),
    )
    .command(
      'keeper',
      'Hold the keys of origins and proxies, which then have none: they reach it over a Unix socket, or over the network',
      keeperOptions,
      run(COMMANDS.keeper),
    )
    .command(
      'get <url..>',
      'Fetch a URL from an origin, directly or through a proxy, sealed end to end',
      getOptions,
      run(COMMANDS.get),
    )
    .command(
      'explain <url..>',
      'Say who can read what on the way to a destination, and which option decided so',
      explainOptions,
      run(COMMANDS.explain),
    )
    .command(
      'pipe',
      'Speak the protocol of spiped: one connection for each that comes in, or one for standard input and output',
      pipeOptions,
      run(COMMANDS.pipe),
    )
    .command(
      'dump [file]',
      'Print the sessions of a capture, frame by frame',
      dumpOptions,
      run(COMMANDS.dump),
    )
    .command(
      'tap <target>',
      'Pass connections on to a server and print their sessions, frame by frame',
      tapOptions,
      run(COMMANDS.tap),
    )
    .command(
      'demo',
      'Play the main flows on loopback, with a wiretap on each hop',
      (argv) =>
        demoOptions(argv).command(
          'wiretap',
          'Watch one exchange on a terminal: in the clear, sealed, and with the server in separate processes',
          demoWiretapOptions,
          run(demoWiretap),
        ),
      run(COMMANDS.demo),
    )
    .completion('completion', 'Print a completion script for the shell in $SHELL: bash or zsh')
    .demandCommand(1, 'name a command')
    .strict()
    .fail((message, error) => {
      throw error ?? new ConfigError(inWords(message));
    })
    .exitProcess(false)
    .wrap(null)
    .alias('help', 'h')
    .version('0.1.0')
    .epilogue(
      `${EXIT_CODES}\nOptions of a command can come from the environment too: KEYMUX_PROXY_KEY for --proxy-key.`,
    );
}

/** What yargs says, where it speaks of its own parts. */
function rephrase(message: string, args: readonly string[]): string {
  const [command = ''] = args;
  if (message.startsWith('Not enough non-option arguments'))
    return `${POSITIONALS.get(command) ?? 'an argument'} is missing`;
  const unknown = /^Unknown arguments?: (.*)$/.exec(message)?.[1]?.split(', ');
  if (unknown === undefined) return message;
  // It names an option twice if there are two ways to write it, and leaves the dashes out.
  const written = args.filter((arg) => unknown.includes(arg.replace(/^--?|=.*$/g, '')));
  const [options, others] = [true, false].map((dashed) => [
    ...new Set(written.map((arg) => arg.replace(/=.*$/, '')).filter((arg) => arg.startsWith('-') === dashed)),
  ]) as [string[], string[]];
  if (options.length > 0) return `there is no option ${options.join(', ')}`;
  if (others[0] === command) return `there is no command "${command}"`;
  return `not expected here: ${(others.length > 0 ? others : unknown).join(', ')}`;
}

const POSITIONALS = new Map([
  ['keygen', 'the file to write'],
  ['connect', 'the proxy, HOST[:PORT],'],
  ['get', 'the URL, keymux://HOST[:PORT]/PATH,'],
  ['explain', 'the URL, keymux://HOST[:PORT]/PATH,'],
  ['tap', 'the server to pass connections on to, HOST[:PORT],'],
]);

/** The options themselves, without what yargs adds. */
function pick(argv: Options): Options {
  return Object.fromEntries(
    Object.entries(argv).filter(
      ([name]) => /^[a-zA-Z]+$/.test(name) && name !== '$0' && name !== 'json' && name.length > 1,
    ),
  );
}
