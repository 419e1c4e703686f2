/**
 * Ways to write an address so that some parser, resolver or kernel takes it for loopback, the unspecified address, a
 * metadata service or something else that is not public. A proxy whose rules name none of these reaches none of them.
 * Names among them are to be resolved by a stub that answers 127.0.0.1 for everything.
 */
export function oddSpellings(port: number): string[] {
  const hosts = [
    // IPv4 as inet_aton reads it
    ...['127.1', '127.0.1', '127.0.0.1.', '0x7f.1', '0x7f.0.0.1', '0X7F000001', '0x7f000001', '2130706433'],
    ...['017700000001', '0177.0.0.1', '0177.1', '127.0.0.01', '127.000.000.001', '127.0.0.1 ', ' 127.0.0.1'],
    ...['127.0.0.256', '1.2.3.4.5', '0', '00', '0.0', '0x0', '127.0.0.0x1', '127.0x0.1', '2130706433.'],
    // the addresses themselves, and others that are not public
    ...['127.0.0.1', '127.0.0.2', '127.255.255.254', '0.0.0.0', '169.254.169.254', '10.0.0.1', '192.168.0.1'],
    ...['172.16.0.1', '100.64.0.1', '224.0.0.1', '255.255.255.255', '192.0.2.1', '198.18.0.1', '240.0.0.1'],
    // IPv6, and IPv4 inside it
    ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[0000::0001]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
    ...['[::127.0.0.1]', '[::7f00:1]', '[::ffff:0:127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b::127.0.0.1]'],
    ...['[2002:7f00:1::]', '[2002:7f00:0001::1]', '[fe80::1]', '[fe80::1%lo]', '[::1%25lo]', '[fd00::1]'],
    ...['[fd00:ec2::254]', '[ff02::1]', '[100::1]', '[2001:db8::1]', '[2001::1]', '[64:ff9b:1::7f00:1]'],
    ...['::1', '[127.0.0.1]', '[::1', '::1]', '[]', '[::1]x', 'x[::1]', '[::ffff:127.1]', '[localhost]'],
    // names
    ...['localhost', 'localhost.', 'LOCALHOST', 'LocalHost.', 'localhost..', '.localhost', 'local_host'],
    ...['127.0.0.1.nip.test', 'a.localhost', 'localhost.localdomain', 'ip6-localhost', 'metadata.test'],
    // what is not a host
    ...[
      '',
      ' ',
      '.',
      '..',
      '-',
      '*',
      '@',
      'user@localhost',
      'user:pass@localhost',
      '127.0.0.1#',
      '127.0.0.1/',
    ],
    ...['127.0.0.1?', '127.0.0.1\\', '127.0.0.1%00', '127.0.0.1\t', 'a b', 'http://127.0.0.1', '//127.0.0.1'],
    ...['①②⑦.0.0.1', '127。0。0。1', 'ⓛocalhost', 'lоcalhost', '127.0.0.1\u00ad', '١٢٧.0.0.1'],
    ...['a'.repeat(64), `${'a.'.repeat(127)}a`],
  ].map((host) => `${host}:${port}`);
  const ports = [
    '',
    ':',
    ':0',
    ':65536',
    `:+${port}`,
    `:-${port}`,
    `:0x${port.toString(16)}`,
    ':99999',
    ': 80',
  ];
  const more = [`:${port}:${port}`, `:${port} `, `:${port}/`, ':http', `:${port}.0`, `:${port}e0`];
  return [...hosts, ...[...ports, ...more].map((end) => `127.0.0.1${end}`), `localhost:${port}@x.test:80`];
}
