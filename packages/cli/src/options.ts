import { algorithmName, SHARED_KEY_PREFERENCE } from '@keymux/keys';
import type { Argv } from 'yargs';
import { CHOOSABLE } from './config.ts';

// The options of each command as people see them; what values they take is checked by the command's own schema.

const algorithmOption = (describe: string) =>
  ({
    type: 'string',
    describe: `${describe}: ${CHOOSABLE.join(', ')}; several with commas, best first [${SHARED_KEY_PREFERENCE.map(algorithmName).join()}]`,
  }) as const;

const KNOWN_HOSTS = {
  type: 'string',
  describe: 'File with the identities of hosts, as ssh has [~/.config/keymux/known_hosts]',
} as const;
const KEEPERS_KNOWN = {
  type: 'string',
  describe: 'With --keeper-identity: file with the identity of the keeper [~/.config/keymux/known_hosts]',
} as const;
const AUTHORIZED_KEYS = {
  type: 'string',
  describe: 'With --identity: file with the keys that may come in, as sshd has',
} as const;
const identityOption = (describe: string) =>
  ({ type: 'string', describe: `OpenSSH Ed25519 private key file, or agent: ${describe}` }) as const;

const keeperUseOptions = {
  keeper: {
    type: 'string',
    describe:
      'unix:PATH or keymux://HOST[:PORT] of a keymux keeper that has the keys, instead of --key and --identity',
  },
  'keeper-key': {
    type: 'string',
    describe: 'With --keeper keymux://…: key file shared with the keeper',
  },
  'keeper-identity': identityOption('with --keeper keymux://…, who this process is'),
} as const;

const KEYLOG = {
  type: 'string',
  array: true,
  describe:
    'NAME=FILE: append what opens the key of this host or proxy, or with this label or SSH fingerprint, for dump and tap; repeatable',
} as const;

const limitOptions = {
  limit: {
    type: 'string',
    array: true,
    describe:
      'NAME=NUMBER: a bound on what clients can cause (milliseconds, bytes); a wrong name lists all, spec/errors.md (7.2, 7.3) explains them; repeatable',
  },
  'behind-balancer': {
    type: 'boolean',
    describe:
      'Clients come through a balancer or a proxy, from its address: count each connection as a client',
  },
} as const;

const processOptions = {
  workers: { type: 'number', describe: 'How many processes share the sessions [one for each processor]' },
  user: {
    type: 'string',
    describe: 'As root: who the processes are run as that strangers talk to; the keeper is not',
  },
  'single-process': {
    type: 'boolean',
    describe: 'Do everything in one process, which then has the keys too',
  },
} as const;

export const keygenOptions = (argv: Argv): Argv =>
  argv
    .positional('file', { type: 'string', demandOption: true, describe: 'Where to write it; must not exist' })
    .example('$0 keygen work.key', 'make a key; copy it to the other side, for example by scp');

export const proxyOptions = (argv: Argv): Argv =>
  argv
    .option('listen', {
      type: 'string',
      describe:
        'HOST:PORT, PORT (loopback), unix:/PATH, or systemd, the socket that it passes [127.0.0.1:6121]',
    })
    .option('key', { type: 'string', array: true, describe: 'Key file that clients may use; repeatable' })
    .options(keeperUseOptions)
    .option('known-hosts', KEEPERS_KNOWN)
    .option('identity', identityOption('who this proxy is'))
    .option('authorized-keys', AUTHORIZED_KEYS)
    .option('allow', {
      type: 'string',
      array: true,
      describe:
        'Where clients may connect: HOST:PORT, *.SUFFIX:PORT, ADDRESS/BITS:PORT; repeatable [nowhere]',
    })
    .option('anonymous', {
      type: 'boolean',
      describe:
        'Take CONNECT under keys that prove nobody too (level passive), from anybody who can reach this port',
    })
    .option('clear', {
      type: 'boolean',
      describe: 'Take CONNECT in the clear too, from anybody who can reach this port',
    })
    .option('early-connect', {
      type: 'boolean',
      describe: 'Take CONNECT as early data (algorithm psk) too, which somebody may be repeating',
    })
    .option('origin', {
      type: 'string',
      array: true,
      describe: 'Web origin whose pages may connect by WebSocket',
    })
    .option('connect-timeout', { type: 'number', describe: 'Milliseconds to reach a destination [10000]' })
    .option('keylog', KEYLOG)
    .options(limitOptions)
    .options(processOptions)
    .example(
      '$0 proxy --listen 0.0.0.0:6121 --key work.key --allow "*:443" --allow "*:80"',
      'to the public web, for whoever has the key',
    )
    .example(
      '$0 proxy --key work.key --allow 10.0.0.0/8:22',
      'inner networks are reached only by rules that give the address',
    );

export const connectOptions = (argv: Argv): Argv =>
  argv
    .positional('proxy', {
      type: 'string',
      demandOption: true,
      describe: 'HOST[:PORT], unix:/PATH, ws(s)://… or http(s)://…',
    })
    .option('listen', {
      type: 'string',
      describe: 'Where the local HTTP proxy listens [127.0.0.1:8118]; whoever reaches it can use it',
    })
    .option('key', { type: 'string', describe: 'Key file shared with the proxy' })
    .option('identity', identityOption('who you are, instead of --key'))
    .option('known-hosts', KNOWN_HOSTS)
    .options(keeperUseOptions)
    .option('algorithm', algorithmOption('How to negotiate the key; anonymous needs no --key'))
    .option('once', {
      type: 'string',
      array: true,
      describe: 'HOST:PORT that protects itself (TLS, SSH): not sealed a second time',
    })
    .option('clear', {
      type: 'boolean',
      describe: 'Send everything to the proxy in the clear, instead of --key',
    })
    .option('keylog', KEYLOG)
    .example(
      '$0 connect proxy.example:6121 --key work.key',
      'then: curl -x http://127.0.0.1:8118 https://example.com/',
    )
    .example(
      '$0 connect proxy.example --key work.key --once "*:443"',
      'leave TLS as it is between here and the proxy',
    );

export const originOptions = (argv: Argv): Argv =>
  argv
    .option('listen', {
      type: 'string',
      describe:
        'HOST:PORT, PORT (loopback), unix:/PATH, or systemd, the socket that it passes [127.0.0.1:6121]',
    })
    .option('host', { type: 'string', array: true, describe: 'Host name to serve; repeatable' })
    .option('key', { type: 'string', array: true, describe: 'NAME=FILE: the key of a host; repeatable' })
    .options(keeperUseOptions)
    .option('known-hosts', KEEPERS_KNOWN)
    .option('identity', identityOption('who the hosts without --key are'))
    .option('authorized-keys', AUTHORIZED_KEYS)
    .option('dir', {
      type: 'string',
      array: true,
      describe: 'NAME=DIRECTORY to serve; repeatable; a host without one gets a demo site',
    })
    .option('sealed', {
      type: 'boolean',
      describe: 'Answer nothing in the clear: prompt for the key of the host',
    })
    .option('key-each-way', {
      type: 'string',
      array: true,
      describe:
        'Host that answers under a key which it negotiates itself, whatever it was asked under; repeatable',
    })
    .option('algorithm', algorithmOption('How to prompt clients for the key of a host'))
    .option('anonymous', {
      type: 'boolean',
      describe: 'Let hosts without a key be reached under keys that prove nobody (level passive)',
    })
    .option('early-methods', {
      type: 'string',
      array: true,
      describe:
        'Methods taken as early data (algorithm psk), which somebody may be repeating; none for none [GET,HEAD]',
    })
    .option('origin', {
      type: 'string',
      array: true,
      describe: 'Web origin whose pages may connect by WebSocket',
    })
    .option('behind-front', {
      type: 'boolean',
      describe: 'Those who connect are fronts (keymux front), not clients',
    })
    .options(limitOptions)
    .options(processOptions)
    .option('keylog', KEYLOG)
    .example(
      '$0 origin --key alpha.example=alpha.key --dir alpha.example=./public',
      'serve files under a key of their own',
    );

export const frontOptions = (argv: Argv): Argv =>
  argv
    .option('listen', {
      type: 'string',
      describe:
        'HOST:PORT, PORT (loopback), unix:/PATH, or systemd, the socket that it passes [127.0.0.1:6121]',
    })
    .option('host', {
      type: 'string',
      array: true,
      describe:
        'NAME=ADDRESS: where the process of a host listens, HOST:PORT, PORT or unix:/PATH; repeatable',
    })
    .option('origin', {
      type: 'string',
      array: true,
      describe: 'Web origin whose pages may connect by WebSocket',
    })
    .options(limitOptions)
    .example(
      '$0 front --listen 0.0.0.0:6121 --host alpha.example=unix:/run/alpha.sock --host beta.example=unix:/run/beta.sock',
      'one address for two hosts, of which neither can read the other, nor the front either',
    )
    .example(
      '$0 origin --listen unix:/run/alpha.sock --behind-front --key alpha.example=alpha.key',
      'the process of one of them',
    );

export const keeperOptions = (argv: Argv): Argv =>
  argv
    .option('listen', {
      type: 'string',
      array: true,
      describe:
        'unix:PATH, for all keys; NAME=unix:PATH, for those of one host; HOST:PORT, for callers on other machines; repeatable',
    })
    .option('group', {
      type: 'boolean',
      describe: 'Let the group of the socket connect as well, not this user alone',
    })
    .option('key', {
      type: 'string',
      array: true,
      describe: 'NAME=FILE: the key of a host; FILE: one that clients of proxies may use; repeatable',
    })
    .option('identity', identityOption('who the hosts of --host are, or without any the proxy'))
    .option('authorized-keys', AUTHORIZED_KEYS)
    .option('host', {
      type: 'string',
      array: true,
      describe: 'Host that --identity and --anonymous are for; repeatable [the proxy]',
    })
    .option('anonymous', {
      type: 'boolean',
      describe: 'Make keys that prove nobody too (level passive), for the same',
    })
    .option('proxy-key', {
      type: 'string',
      array: true,
      describe: 'Key file for a client of a proxy, towards it; repeatable',
    })
    .option('proxy-identity', identityOption('who a client of proxies is, towards them'))
    .option('known-hosts', {
      type: 'string',
      describe:
        'For clients, with --identity or --proxy-identity: file with the identities of hosts and proxies',
    })
    .option('pipe-key', {
      type: 'string',
      array: true,
      describe: 'Key file for keymux pipe; repeatable',
    })
    .option('own-identity', identityOption('who this keeper is, towards callers on other machines'))
    .option('callers', {
      type: 'string',
      array: true,
      describe:
        'FILE, for all keys, or NAME=FILE, for those of one host: who may call from other machines, an authorized_keys file; repeatable',
    })
    .option('caller-key', {
      type: 'string',
      array: true,
      describe: 'FILE or NAME=FILE: the same with a key file that the callers share; repeatable',
    })
    .option('audit-log', {
      type: 'string',
      describe: 'File to add every run to, and for whom it was; without it the log says what was refused',
    })
    .example(
      '$0 keeper --listen unix:/run/keymux/keeper.sock --key site.example=site.key',
      'then: keymux origin --host site.example --keeper unix:/run/keymux/keeper.sock',
    )
    .example(
      '$0 keeper --listen unix:keys.sock --key site.example=site.key --proxy-key work.key',
      'for clients: keymux get keymux://site.example/ --via proxy.example --keeper unix:keys.sock',
    )
    .example(
      '$0 keeper --listen 0.0.0.0:6122 --own-identity keeper_key --callers site.example=edges --key site.example=site.key',
      'then elsewhere: keymux origin --host site.example --keeper keymux://keys.example:6122 --keeper-identity edge_key',
    );

const routeOptions = (argv: Argv): Argv =>
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
    .option('identity', identityOption('who you are, towards hosts without --key'))
    .option('proxy-identity', identityOption('who you are, towards the proxy'))
    .option('known-hosts', KNOWN_HOSTS)
    .options(keeperUseOptions)
    .option('clear', {
      type: 'boolean',
      describe: 'Ask in the clear, and use the key only if the host prompts for it',
    })
    .option('via', {
      type: 'string',
      describe: 'Proxy to go through: HOST[:PORT], unix:/PATH, ws(s)://… or http(s)://…',
    })
    .option('proxy-key', {
      type: 'string',
      describe: 'Key file of the proxy; without it the CONNECT travels in the clear',
    })
    .option('algorithm', algorithmOption('How to negotiate with the host; anonymous needs no --key'))
    .option('proxy-algorithm', algorithmOption('How to negotiate with the proxy'))
    .option('connect-to', { type: 'string', describe: 'HOST:PORT to connect to instead of that of the URL' })
    .option('method', { type: 'string', alias: 'X', describe: 'Method [GET, or POST with --data]' })
    .option('data', { type: 'string', alias: 'd', describe: 'Body to send, or @FILE' })
    .option('level', {
      choices: ['none', 'passive', 'authenticated'],
      describe: 'Least level of the answer, else it is thrown away [that of the key]',
    })
    .option('require', {
      type: 'string',
      array: true,
      describe: 'HOST=LEVEL, .SUFFIX=LEVEL or *=LEVEL: least level of requests and answers; repeatable',
    })
    .option('host-memory', {
      type: 'string',
      describe: 'File with hosts that demanded sealing, or none [~/.config/keymux/hosts.json]',
    })
    .option('cookie-jar', {
      type: 'string',
      describe: 'File for cookies; each goes only to its host, over streams as strong as it came over',
    })
    .option('credentials', {
      type: 'string',
      describe: 'File with NAME:PASSWORD, for hosts at level authenticated only',
    })
    .option('early', {
      type: 'boolean',
      describe: 'With --algorithm psk: send GET and HEAD at once; the host may see a replay',
    })
    .option('output', { type: 'string', alias: 'o', describe: 'File to write the body to' })
    .option('include', { type: 'boolean', alias: 'i', describe: 'Print the headers of the answer too' });

export const getOptions = (argv: Argv): Argv =>
  routeOptions(argv)
    .option('keylog', KEYLOG)
    .example('$0 get keymux://alpha.example/ --key alpha.key', 'directly')
    .example(
      '$0 get keymux://alpha.example/ --keeper unix:keys.sock',
      'with the key that a keymux keeper has',
    )
    .example(
      '$0 get keymux://alpha.example/ --key alpha.key --via proxy.example --proxy-key work.key',
      'end to end through a proxy',
    );

export const explainOptions = (argv: Argv): Argv =>
  routeOptions(argv)
    .positional('url', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'keymux://HOST[:PORT]/PATH; or https://HOST/ and HOST:PORT, as programs reach them by --via',
    })
    .option('once', {
      type: 'string',
      array: true,
      describe: 'HOST:PORT that protects itself, as for keymux connect',
    })
    .option('connect', {
      type: 'boolean',
      describe: 'Connect, negotiate and say what came of it; sends no request',
    })
    .example(
      '$0 explain keymux://alpha.example/ --key alpha.key --via proxy.example --proxy-key work.key',
      'what get would do with the same options',
    )
    .example(
      '$0 explain https://example.com/ --via proxy.example --proxy-key work.key --once "*:443"',
      'what a browser behind keymux connect gets',
    );

export const pipeOptions = (argv: Argv): Argv =>
  argv
    .option('encrypt', {
      type: 'boolean',
      alias: 'e',
      describe: 'Take in what is not encrypted, and send it encrypted to the target',
    })
    .option('decrypt', {
      type: 'boolean',
      alias: 'd',
      describe: 'Take in what is encrypted, and send it decrypted to the target',
    })
    .option('source', {
      type: 'string',
      alias: 's',
      nargs: 1,
      describe:
        'Where to listen, or systemd; "-" or nothing: encrypt standard input and output, as spipe does',
    })
    .option('target', {
      type: 'string',
      alias: 't',
      describe: 'Where to connect: /PATH, HOST:PORT, [IPv4]:PORT or [IPv6]:PORT',
    })
    .option('key', {
      type: 'string',
      alias: 'k',
      nargs: 1,
      describe: 'Key file, the same on both sides; "-": from standard input',
    })
    .options(keeperUseOptions)
    .option('known-hosts', KEEPERS_KNOWN)
    .option('label', {
      type: 'string',
      describe: 'With --keeper: which of its keys for pipes, if it has several, as keymux keygen printed it',
    })
    .option('max-connections', {
      type: 'number',
      alias: 'n',
      describe: 'Connections at once; further ones are closed; 0: no limit [100]',
    })
    .option('timeout', {
      type: 'number',
      alias: 'o',
      describe: 'Seconds to reach the target, and again for the handshake [5]',
    })
    .option('bind', { type: 'string', alias: 'b', describe: 'Local address to connect from: [IP]:PORT' })
    .option('without-keep-alive', { type: 'boolean', alias: 'j', describe: 'No TCP keep-alives' })
    .option('require-forward-secrecy', {
      type: 'boolean',
      alias: 'g',
      describe: 'Taken for the sake of spiped; it is always so',
    })
    .option('foreground', {
      type: 'boolean',
      alias: 'F',
      describe: 'Taken for the sake of spiped; it is always so',
    })
    .option('fast', { type: 'boolean', alias: 'f', hidden: true })
    .option('wait-for-dns', { type: 'boolean', alias: 'D', hidden: true })
    .option('pidfile', { type: 'string', alias: 'p', hidden: true })
    .option('resolve-every', { type: 'string', alias: 'r', hidden: true })
    .option('resolve-once', { type: 'boolean', alias: 'R', hidden: true })
    .option('syslog', { type: 'boolean', hidden: true })
    .option('user', { type: 'string', alias: 'u', hidden: true })
    .example('$0 pipe -d -s [0.0.0.0]:8025 -t [127.0.0.1]:25 -k mail.key', 'at the server')
    .example(
      '$0 pipe -e -s [127.0.0.1]:25 -t mail.example:8025 -k mail.key',
      'at home; or the same with spiped',
    )
    .example(
      '$0 pipe -d -s [0.0.0.0]:8025 -t [127.0.0.1]:25 --keeper unix:keys.sock',
      'the key stays with: keymux keeper --listen unix:keys.sock --pipe-key mail.key',
    )
    .example(
      'ssh -o "ProxyCommand=$0 pipe -t %h:8022 -k ssh.key" host.example',
      'where host.example runs: keymux pipe -d -s [0.0.0.0]:8022 -t [127.0.0.1]:22 -k ssh.key',
    );

export const demoOptions = (argv: Argv): Argv =>
  argv
    .example('$0 demo', 'watch it')
    .example('$0 demo --json', 'one document for scripts')
    .example(
      '$0 demo wiretap',
      'the same exchange clear, sealed, and with the keys in a process of their own',
    );

export const demoWiretapOptions = (argv: Argv): Argv =>
  argv
    .option('speed', { type: 'number', describe: '2 for twice as fast [1]' })
    .option('step', { type: 'boolean', describe: 'Wait for Enter after each step' })
    .example('$0 demo wiretap', 'watch it: Enter goes on at once, q ends it')
    .example('$0 demo wiretap --step', 'at your own pace')
    .example('$0 demo wiretap --json', 'one document for scripts');

const looking = (argv: Argv): Argv =>
  argv
    .option('keylog', {
      type: 'string',
      describe: 'File that --keylog of an endpoint has written: opens what travelled under that key',
    })
    .option('connection', { type: 'number', array: true, describe: 'Only these connections; repeatable' })
    .option('stream', { type: 'number', array: true, describe: 'Only frames of these streams; repeatable' })
    .option('payload', { type: 'boolean', describe: 'Print the payload of DATA as well' });

export const dumpOptions = (argv: Argv): Argv =>
  looking(
    argv.positional('file', {
      type: 'string',
      describe: 'pcap or pcapng; without it, or for -, standard input',
    }),
  )
    .example('tcpdump -i lo -U -w - port 6121 | $0 dump', 'look on while it happens')
    .example('$0 dump session.pcapng --json', 'a JSON object for each frame');

export const tapOptions = (argv: Argv): Argv =>
  looking(
    argv
      .positional('target', {
        type: 'string',
        demandOption: true,
        describe: 'Where to pass connections on to: HOST[:PORT] or unix:/PATH',
      })
      .option('listen', {
        type: 'string',
        describe: 'HOST:PORT, PORT (loopback), or unix:/PATH [127.0.0.1, a free port]',
      }),
  ).example('$0 tap proxy.example:6121 --listen 7000', 'then give clients 127.0.0.1:7000 as the proxy');
