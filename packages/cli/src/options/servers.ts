import type { Argv } from 'yargs';
import {
  AUTHORIZED_KEYS,
  algorithmOption,
  identityOption,
  KEEPERS_KNOWN,
  KEYLOG,
  keeperUseOptions,
} from './common.ts';

const LISTEN = {
  type: 'string',
  describe: 'HOST:PORT, PORT (loopback), unix:/PATH, or systemd, the socket that it passes [127.0.0.1:6121]',
} as const;
const WEB_ORIGIN = {
  type: 'string',
  array: true,
  describe: 'Web origin whose pages may connect by WebSocket',
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

export const proxyOptions = (argv: Argv): Argv =>
  argv
    .option('listen', LISTEN)
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
    .option('origin', WEB_ORIGIN)
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

export const originOptions = (argv: Argv): Argv =>
  argv
    .option('listen', LISTEN)
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
        'Host that answers under a key which it negotiates itself, whatever key it was asked under; repeatable',
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
    .option('origin', WEB_ORIGIN)
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
    .option('listen', LISTEN)
    .option('host', {
      type: 'string',
      array: true,
      describe:
        'NAME=ADDRESS: where the process of a host listens, HOST:PORT, PORT or unix:/PATH; repeatable',
    })
    .option('origin', WEB_ORIGIN)
    .options(limitOptions)
    .example(
      '$0 front --listen 0.0.0.0:6121 --host alpha.example=unix:/run/alpha.sock --host beta.example=unix:/run/beta.sock',
      'one address for two hosts, of which neither can read the other, nor the front either',
    )
    .example(
      '$0 origin --listen unix:/run/alpha.sock --behind-front --key alpha.example=alpha.key',
      'the process of one of them',
    );
