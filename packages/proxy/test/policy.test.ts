import { describe, expect, it } from 'vitest';
import { DestinationPolicy } from '../src/policy.ts';

const allows = (rules: readonly string[], host: string, address: string, port: number): boolean =>
  new DestinationPolicy(rules).allows(host, address, port) !== undefined;

describe('a destination policy', () => {
  it.each([
    [['example.com:443'], 'example.com', '93.184.216.34', 443],
    [['*.example.com:443'], 'a.b.example.com', '93.184.216.34', 443],
    [['*:443'], 'anything.test', '8.8.8.8', 443],
    [['*:*'], 'anything.test', '2606:4700::1', 1],
    [['*:8000-8099'], 'x.test', '8.8.8.8', 8099],
    [['10.0.0.0/8:22'], 'db.internal', '10.1.2.3', 22],
    [['10.1.2.3:22'], '10.1.2.3', '10.1.2.3', 22],
    [['[fd00::/8]:22'], 'db.internal', 'fd12::1', 22],
    [['127.0.0.1:80'], '127.0.0.1', '::ffff:127.0.0.1', 80],
    [['localhost:80'], 'localhost', '127.0.0.1', 80],
    [['EXAMPLE.com:443'], 'example.com', '93.184.216.34', 443],
  ])('%j allows %s at %s port %d', (rules, host, address, port) => {
    expect(allows(rules, host, address, port)).toBe(true);
  });

  it.each([
    [[], 'example.com', '93.184.216.34', 443],
    [['example.com:443'], 'example.com', '93.184.216.34', 80],
    [['example.com:443'], 'www.example.com', '93.184.216.34', 443],
    [['example.com:443'], 'example.com.evil.test', '93.184.216.34', 443],
    [['*.example.com:443'], 'example.com', '93.184.216.34', 443],
    [['*.example.com:443'], 'badexample.com', '93.184.216.34', 443],
    [['*:8000-8099'], 'x.test', '8.8.8.8', 8100],
    [['*:80'], 'rebound.test', '127.0.0.1', 80],
    [['*:80'], 'rebound.test', '::1', 80],
    [['*:80'], 'rebound.test', '::ffff:127.0.0.1', 80],
    [['*:80'], 'rebound.test', '64:ff9b::7f00:1', 80],
    [['*:80'], 'rebound.test', '10.0.0.1', 80],
    [['*:80'], 'rebound.test', '172.16.0.1', 80],
    [['*:80'], 'rebound.test', '192.168.0.1', 80],
    [['*:80'], 'rebound.test', '100.64.0.1', 80],
    [['*:80'], 'rebound.test', '169.254.169.254', 80],
    [['*:80'], 'rebound.test', '0.0.0.0', 80],
    [['*:80'], 'rebound.test', '224.0.0.1', 80],
    [['*:80'], 'rebound.test', '255.255.255.255', 80],
    [['*:80'], 'rebound.test', '::', 80],
    [['*:80'], 'rebound.test', 'fe80::1', 80],
    [['*:80'], 'rebound.test', 'fd00::1', 80],
    [['*:80'], 'rebound.test', 'ff02::1', 80],
    [['*:80'], 'rebound.test', '2002:7f00:1::', 80],
    [['localhost:80'], 'localhost', '10.0.0.1', 80],
    [['rebound.test:80'], 'rebound.test', '127.0.0.1', 80],
    [['10.0.0.0/8:22'], 'x.test', '11.0.0.1', 22],
    [['10.0.0.0/8:22'], 'x.test', '::1', 22],
  ])('%j refuses %s at %s port %d', (rules, host, address, port) => {
    expect(allows(rules, host, address, port)).toBe(false);
  });

  it('names a destination as it is written, and a network only by its addresses', () => {
    const policy = new DestinationPolicy(['10.0.0.0/8:443', 'example.com:443']);
    expect(policy.names('example.com', 443)).toBe(true);
    expect(policy.names('10.1.1.1', 443)).toBe(true);
    expect(policy.names('other.test', 443)).toBe(false);
    expect(policy.names('11.1.1.1', 443)).toBe(false);
  });

  it.each([
    '',
    'example.com',
    ':80',
    'example.com:',
    'example.com:0',
    'example.com:65536',
    'example.com:90-80',
    'a b:80',
    '10.0.0.0/33:80',
    '10.0.0.0/:80',
    '10.0.0.0/8/8:80',
    '[fd00::/129]:80',
    '*.:80',
    '**:80',
    '300.1.1.1:80',
    '127.1:80',
    'http://example.com:80',
    'example.com:80:80',
  ])('does not understand the rule "%s"', (rule) => {
    expect(() => new DestinationPolicy([rule])).toThrow(
      expect.objectContaining({ code: 'ERR_KEYMUX_RULE' }) as Error,
    );
  });
});
