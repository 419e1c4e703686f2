import type { Argv } from 'yargs';
import { algorithmOption, identityOption, KEYLOG, KNOWN_HOSTS, keeperUseOptions } from './common.ts';

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
