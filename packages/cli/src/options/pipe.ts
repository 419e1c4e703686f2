import type { Argv } from 'yargs';
import { KEEPERS_KNOWN, keeperUseOptions } from './common.ts';

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
