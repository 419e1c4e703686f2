import yargs, { type Argv } from 'yargs';
import { connect } from './commands/connect.ts';
import { demo } from './commands/demo.ts';
import { get } from './commands/get.ts';
import { keygen } from './commands/keygen.ts';
import { origin } from './commands/origin.ts';
import { proxy } from './commands/proxy.ts';
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts';
import { Output, printError } from './output.ts';

type Options = Record<string, unknown>;
type Command = (argv: Options, output: Output) => Promise<unknown>;

const EXIT_CODES = `Exit status: 0 done, 1 failed, 2 usage or configuration, 3 peer unreachable, 4 keys do not fit,
5 refused or protected too weakly, 6 peer is shutting down.`;

/** Runs the program with its arguments (without node and the script); resolves with the exit status. */
export async function main(args: readonly string[]): Promise<number> {
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
  const parser = commands(yargs([...args]), run);
  try {
    await parser.parseAsync();
  } catch (error) {
    printError(error);
    return EXIT.USAGE;
  }
  return exit;
}

function commands(parser: Argv, run: (command: Command) => (argv: Options) => Promise<void>): Argv {
  return parser
    .scriptName('keymux')
    .usage('$0 COMMAND: many streams over one connection, each encrypted with the key that fits it')
    .env('KEYMUX')
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
      run((argv, output) => keygen(String(argv.file), output)),
    )
    .command('proxy', 'Run a CONNECT proxy that keymux and SPDY/3.1 clients share', proxyOptions, run(proxy))
    .command(
      'connect <proxy>',
      'Keep one session to a proxy and offer it as a local HTTP proxy',
      connectOptions,
      run(connect),
    )
    .command(
      'origin',
      'Serve directories, or a demo site, for several hosts, each with its own key',
      originOptions,
      run(origin),
    )
    .command(
      'get <url..>',
      'Fetch a URL from an origin, directly or through a proxy, sealed end to end',
      getOptions,
      run(get),
    )
    .command('demo', 'Play the main flows on loopback, with a wiretap on each hop', demoOptions, run(demo))
    .completion('completion', 'Print a completion script for bash or zsh')
    .demandCommand(1, 'Name a command; "keymux --help" lists them.')
    .strict()
    .fail((message, error) => {
      throw error ?? new Error(message);
    })
    .exitProcess(false)
    .wrap(null)
    .version('0.1.0')
    .epilogue(
      `${EXIT_CODES}\nEvery option can come from the environment too: KEYMUX_PROXY_KEY for --proxy-key.`,
    );
}

const keygenOptions = (argv: Argv): Argv =>
  argv
    .positional('file', { type: 'string', demandOption: true, describe: 'Where to write it; must not exist' })
    .example('$0 keygen ~/.keymux/work.key', 'make a key; copy it to the other side by scp');

const proxyOptions = (argv: Argv): Argv =>
  argv
    .option('listen', { type: 'string', describe: 'host:port, :port or unix:/path [127.0.0.1:6121]' })
    .option('key', { type: 'string', array: true, describe: 'Key file that clients may use; repeatable' })
    .option('allow', {
      type: 'string',
      array: true,
      describe: 'Where clients may connect: HOST:PORT; repeatable',
    })
    .option('clear', { type: 'boolean', describe: 'Take CONNECT in the clear too, from anybody' })
    .option('origin', {
      type: 'string',
      array: true,
      describe: 'Web origin whose pages may connect by WebSocket',
    })
    .option('connect-timeout', { type: 'number', describe: 'Milliseconds to reach a destination [10000]' })
    .example(
      '$0 proxy --listen :6121 --key work.key --allow "*:443" --allow "*:80"',
      'a proxy to the public web',
    )
    .example(
      '$0 proxy --key work.key --allow 10.0.0.0/8:22',
      'addresses of inner networks must be named as such',
    );

const connectOptions = (argv: Argv): Argv =>
  argv
    .positional('proxy', {
      type: 'string',
      demandOption: true,
      describe: 'host:port, unix:/path, ws://… or wss://…',
    })
    .option('listen', { type: 'string', describe: 'Where the local HTTP proxy listens [127.0.0.1:8118]' })
    .option('key', { type: 'string', describe: 'Key file shared with the proxy' })
    .option('algorithm', { choices: ['spiped', 'psk'], describe: 'How to negotiate the key [spiped]' })
    .option('once', {
      type: 'string',
      array: true,
      describe: 'HOST:PORT that protects itself (TLS, SSH): not sealed a second time',
    })
    .option('clear', { type: 'boolean', describe: 'Send everything to the proxy in the clear' })
    .example(
      '$0 connect proxy.example:6121 --key work.key',
      'then: curl -x http://127.0.0.1:8118 https://example.com/',
    )
    .example(
      '$0 connect proxy.example --key work.key --once "*:443"',
      'leave TLS as it is between here and the proxy',
    );

const originOptions = (argv: Argv): Argv =>
  argv
    .option('listen', { type: 'string', describe: 'host:port, :port or unix:/path [127.0.0.1:6121]' })
    .option('host', { type: 'string', array: true, describe: 'Host name to serve; repeatable' })
    .option('key', { type: 'string', array: true, describe: 'NAME=FILE: the key of a host; repeatable' })
    .option('dir', {
      type: 'string',
      array: true,
      describe: 'NAME=DIRECTORY to serve; without it a demo site',
    })
    .option('sealed', { type: 'boolean', describe: 'Answer nothing in the clear' })
    .option('algorithm', { choices: ['spiped', 'psk'], describe: 'How to prompt clients for a key [spiped]' })
    .option('secret', { type: 'string', hidden: true })
    .option('origin', {
      type: 'string',
      array: true,
      describe: 'Web origin whose pages may connect by WebSocket',
    })
    .example(
      '$0 origin --key alpha.example=alpha.key --dir alpha.example=./public',
      'serve files under a key of their own',
    );

const getOptions = (argv: Argv): Argv =>
  argv
    .positional('url', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'keymux://HOST[:PORT]/PATH; several share a connection',
    })
    .option('key', {
      type: 'string',
      array: true,
      describe: 'FILE, or NAME=FILE: key of the host; without it the request travels in the clear',
    })
    .option('clear', {
      type: 'boolean',
      describe: 'Ask in the clear, and use the key only if the host prompts for it',
    })
    .option('via', { type: 'string', describe: 'Proxy to go through' })
    .option('proxy-key', { type: 'string', describe: 'Key file of the proxy' })
    .option('algorithm', { choices: ['spiped', 'psk'], describe: 'How to negotiate with the host [spiped]' })
    .option('proxy-algorithm', {
      choices: ['spiped', 'psk'],
      describe: 'How to negotiate with the proxy [spiped]',
    })
    .option('connect-to', { type: 'string', describe: 'HOST:PORT to connect to instead of that of the URL' })
    .option('method', { type: 'string', alias: 'X', describe: 'Method [GET, or POST with --data]' })
    .option('data', { type: 'string', alias: 'd', describe: 'Body to send, or @FILE' })
    .option('level', {
      choices: ['none', 'passive', 'authenticated'],
      describe: 'Least level of the answer [that of the key]',
    })
    .option('output', { type: 'string', alias: 'o', describe: 'File to write the body to' })
    .option('include', { type: 'boolean', alias: 'i', describe: 'Print the headers of the answer too' })
    .example('$0 get keymux://alpha.example/ --key alpha.key', 'directly')
    .example(
      '$0 get keymux://alpha.example/ --key alpha.key --via proxy.example --proxy-key work.key',
      'end to end through a proxy',
    );

const demoOptions = (argv: Argv): Argv =>
  argv.example('$0 demo', 'watch it').example('$0 demo --json', 'one document for scripts');

/** The options themselves, without what yargs adds. */
function pick(argv: Options): Options {
  return Object.fromEntries(
    Object.entries(argv).filter(
      ([name]) => /^[a-zA-Z]+$/.test(name) && name !== '$0' && name !== 'json' && name.length > 1,
    ),
  );
}
