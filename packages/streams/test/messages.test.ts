import type { HeaderList } from '@keymux/frames';
import { describe, expect, it } from 'vitest';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../src/messages.ts';

const GET: HeaderList = [
  [':method', 'GET'],
  [':path', '/a?b=c'],
  [':version', 'HTTP/1.1'],
  [':host', 'alpha.test'],
  [':scheme', 'http'],
];
const replace = (name: string, value: string): HeaderList =>
  GET.map(([key, old]) => [key, key === name ? value : old]);
const without = (name: string): HeaderList => GET.filter(([key]) => key !== name);
const connectTo = (path: string, ...more: HeaderList): HeaderList => [
  [':method', 'CONNECT'],
  [':path', path],
  ...more,
];

describe('request heads', () => {
  it('come back as they were sent, without the headers of one hop', () => {
    const head = { method: 'GET', path: '/', host: 'alpha.test:8080', scheme: 'http' };
    const headers: HeaderList = [
      ['Accept', '*/*'],
      ['Connection', 'x-token'],
      ['Transfer-Encoding', 'chunked'],
    ];
    expect(decodeRequest(encodeRequest({ ...head, headers }))).toEqual({
      ...head,
      headers: [['accept', '*/*']],
    });
  });

  it.each([
    ['a name', 'host.test:443'],
    ['IPv4', '192.0.2.1:22'],
    ['IPv6', '[2001:db8::1]:22'],
  ])('take CONNECT to %s', (_, path) => {
    expect(decodeRequest(connectTo(path))).toMatchObject({ method: 'CONNECT', path, host: path });
    expect(decodeRequest(connectTo(path, [':host', path]))).toMatchObject({ path });
  });

  it.each<[string, HeaderList]>([
    ['no method', without(':method')],
    ['no path', without(':path')],
    ['no host', without(':host')],
    ['a method in lower case', replace(':method', 'get')],
    ['a method with a space', replace(':method', 'GET /')],
    ['a path without a slash', replace(':path', 'x')],
    ['a path with a space', replace(':path', '/a b')],
    ['a path with HTTP/1.1 smuggled in', replace(':path', '/ HTTP/1.1\r\nHost: beta.test')],
    ['an absolute URL as path', replace(':path', 'http://beta.test/')],
    ['a path with a tab', replace(':path', '/\t')],
    ['a path outside ASCII', replace(':path', '/\u00e9')],
    ['a host with a space', replace(':host', 'alpha.test beta.test')],
    ['a host with a path', replace(':host', 'alpha.test/x')],
    ['a host with a user', replace(':host', 'user@alpha.test')],
    ['a host with a comma', replace(':host', 'alpha.test,beta.test')],
    ['an empty host', replace(':host', '')],
    ['a host that begins with a dot', replace(':host', '.alpha.test')],
    ['a port that is no number', replace(':host', 'alpha.test:80a')],
    ['two hosts', [...GET, [':host', 'beta.test']]],
    ['two methods', [...GET, [':method', 'POST']]],
    ['two paths', [...GET, [':path', '/b']]],
    ['an ordinary host header beside :host', [...GET, ['host', 'beta.test']]],
    ['a status in a request', [...GET, [':status', '200']]],
    ['an unknown pseudo header', [...GET, [':authority', 'beta.test']]],
    ['CONNECT with a path', connectTo('/')],
    ['CONNECT with another :host', connectTo('alpha.test:443', [':host', 'beta.test:443'])],
    ['CONNECT with two paths', connectTo('alpha.test:443', [':path', 'beta.test:443'])],
    ['CONNECT with a user', connectTo('user@alpha.test:443')],
  ])('refuse %s', (_, headers) => {
    expect(() => decodeRequest(headers)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_MESSAGE' }) as Error,
    );
  });

  it('say what is wrong without the value, which may be secret', () => {
    expect(() => decodeRequest(replace(':path', 'CANARY'))).toThrow(
      expect.not.stringContaining('CANARY') as never,
    );
  });
});

describe('answer heads', () => {
  it('come back as they were sent', () => {
    expect(decodeResponse(encodeResponse(404, 'Not Found', [['Server', 'x']]))).toEqual({
      status: 404,
      reason: 'Not Found',
      headers: [['server', 'x']],
    });
  });

  it('take a status without a reason', () => {
    expect(decodeResponse([[':status', '200']])).toMatchObject({ status: 200, reason: '' });
  });

  it.each<[string, HeaderList]>([
    ['no status', [[':version', 'HTTP/1.1']]],
    ['a status that is no number', [[':status', 'OK']]],
    ['a status of two digits', [[':status', '20']]],
    ['a status below 100', [[':status', '099']]],
    [
      'two statuses',
      [
        [':status', '200'],
        [':status', '204'],
      ],
    ],
    [
      'a method',
      [
        [':status', '200'],
        [':method', 'GET'],
      ],
    ],
  ])('refuse %s', (_, headers) => {
    expect(() => decodeResponse(headers)).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_MESSAGE' }) as Error,
    );
  });
});
