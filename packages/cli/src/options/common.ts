import { algorithmName, SHARED_KEY_PREFERENCE } from '@keymux/keys';
import { CHOOSABLE } from '../config.ts';

// The options of each command as people see them; what values they take is checked by the command's own schema. Here: what several have in common.

export const algorithmOption = (describe: string) =>
  ({
    type: 'string',
    describe: `${describe}: ${CHOOSABLE.join(', ')}; several with commas, best first [${SHARED_KEY_PREFERENCE.map(algorithmName).join()}]`,
  }) as const;

export const identityOption = (describe: string) =>
  ({ type: 'string', describe: `OpenSSH Ed25519 private key file, or agent: ${describe}` }) as const;

export const KNOWN_HOSTS = {
  type: 'string',
  describe: 'File with the identities of hosts, as ssh has [~/.config/keymux/known_hosts]',
} as const;
export const AUTHORIZED_KEYS = {
  type: 'string',
  describe: 'With --identity: file with the keys that may come in, as sshd has',
} as const;
export const KEEPERS_KNOWN = {
  type: 'string',
  describe: 'With --keeper-identity: file with the identity of the keeper [~/.config/keymux/known_hosts]',
} as const;

export const keeperUseOptions = {
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

export const KEYLOG = {
  type: 'string',
  array: true,
  describe:
    'NAME=FILE: append what opens the key of this host or proxy, or with this label or SSH fingerprint, for dump and tap; repeatable',
} as const;
