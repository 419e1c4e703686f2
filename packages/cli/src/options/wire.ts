import type { Argv } from 'yargs';

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
