import type { Argv } from 'yargs';
import { AUTHORIZED_KEYS, identityOption } from './common.ts';

export const keygenOptions = (argv: Argv): Argv =>
  argv
    .positional('file', { type: 'string', demandOption: true, describe: 'Where to write it; must not exist' })
    .example('$0 keygen work.key', 'make a key; copy it to the other side, for example by scp');

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
