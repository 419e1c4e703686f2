import { isIP } from 'node:net';
import { AddressError, nameOf, parseAddress } from '@keymux/client';
import { formatPipeAddress, PipeAddressError, parsePipeAddress } from '@keymux/pipe';
import { parseDestination } from '@keymux/proxy';
import fc from 'fast-check';
import { must, mustEqual, refusal } from '../checks.ts';
import { parseCliDestination, parseTarget, permits, socketAddress } from '../internals.ts';
import { target } from '../target.ts';

const PIECES = [
  ...[
    'a.example',
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '2130706433',
    '::1',
    '[::1]',
    '[fe80::1%eth0]',
    '[1.2.3.4]',
    '*',
    '',
  ],
  ...[
    ':',
    ':0',
    ':22',
    ':65535',
    ':65536',
    ':99999',
    ':-1',
    ':1e3',
    '[',
    ']',
    '%',
    '/',
    '//',
    '/path',
    '?q',
    '#f',
    '@',
    ' ',
    '\0',
    '\n',
    '.',
  ],
  ...[
    'keymux://',
    'http://',
    'https://',
    'ws://',
    'wss://',
    'unix:',
    'file://',
    'A.EXAMPLE',
    'xn--a',
    'ä',
    'user:pass@',
  ],
];
const text = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(fc.constantFrom(...PIECES), { maxLength: 5 }).map((pieces) => pieces.join('')),
  },
  fc.string({ maxLength: 30 }),
);

/** Every text is an address that can be connected to, or is refused: no port out of its range, no host that is none, no way around a rule. */
export const addresses = target<{ text: string; rule: string }>({
  name: 'addresses',
  cases: fc.record({ text, rule: text }),
  check: ({ text, rule }) => {
    const error = refusal(() => {
      const address = parseAddress(text);
      if (address.kind === 'tcp') mustBePlace(address, 1);
      const name = nameOf(address);
      if (name !== undefined) mustBePlace(name, 1);
    });
    must(error === undefined || error instanceof AddressError, 'an address is refused as one');

    const pipeError = refusal(() => {
      const address = parsePipeAddress(text);
      if ('host' in address) mustBePlace(address, 0);
      mustEqual(parsePipeAddress(formatPipeAddress(address)), address, 'written and read again');
    });
    must(
      pipeError === undefined || pipeError instanceof PipeAddressError,
      'a pipe address is refused as one',
    );

    const destination = parseDestination(text);
    if (destination !== undefined) {
      mustBePlace(destination, 1);
      must(
        isIP(destination.host) !== 0 || !/(^|\.)(0x[0-9a-f]*|[0-9]+)$/i.test(destination.host),
        'a name is no address',
      );
      must(!/[\s/%@\\]/.test(destination.host), 'a host is a host');
      must(permits(['*:*'], destination), 'everything is permitted by *:*');
    }
    permits([rule], { host: 'a.example', port: 22 });

    refusal(() => mustBePlace(parseTarget(text, undefined).place, 0));
    refusal(() => mustBePlace(parseTarget('keymux://a.example/', text).place, 0));
    const place = parseCliDestination(text)?.place;
    if (place !== undefined) mustBePlace(place, 0);
    const listen = socketAddress.safeParse(text);
    if (listen.success && listen.data.path === undefined) mustBePlace(listen.data, 0);
  },
  runs: 1_000,
});

/** What net.connect would throw for is no place. */
function mustBePlace({ host, port }: { host: string; port: number }, least: number): void {
  must(Number.isInteger(port) && port >= least && port <= 65_535, `port ${port}`);
  must(host !== '' && !host.includes('['), `host "${host}"`);
}
