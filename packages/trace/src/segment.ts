import type { Packet } from './capture-file.ts';

/** One TCP segment. */
export interface Segment {
  /** Milliseconds since 1970-01-01 UTC. */
  readonly time: number;
  /** `address:port`. */
  readonly from: string;
  readonly to: string;
  readonly sequence: number;
  readonly syn: boolean;
  readonly ack: boolean;
  readonly fin: boolean;
  readonly reset: boolean;
  readonly payload: Buffer;
}

const TCP = 6;
const ETHERTYPE = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, SERVICE_VLAN: 0x88a8 };
/** IPv6 headers that stand between the first and that of TCP, and have a length in units of 8 bytes. */
const EXTENSIONS = new Set([0, 43, 60]);

/** The TCP segment in a packet; undefined if it holds none, or a fragment of one. */
export function segmentOf({ time, linkType, data }: Packet): Segment | undefined {
  const ip = ipPacket(linkType, data);
  const version = (ip?.[0] ?? 0) >> 4;
  if (ip === undefined || (version !== 4 && version !== 6)) return undefined;
  const found = version === 4 ? fromIpv4(ip) : fromIpv6(ip);
  if (found === undefined || found.tcp.length < 20) return undefined;
  const { source, destination, tcp } = found;
  const flags = tcp[13] as number;
  return {
    time,
    from: `${source}:${tcp.readUInt16BE(0)}`,
    to: `${destination}:${tcp.readUInt16BE(2)}`,
    sequence: tcp.readUInt32BE(4),
    fin: (flags & 0x01) !== 0,
    syn: (flags & 0x02) !== 0,
    reset: (flags & 0x04) !== 0,
    ack: (flags & 0x10) !== 0,
    payload: tcp.subarray(((tcp[12] as number) >> 4) * 4),
  };
}

/** What the link layer carries, if that is IP. */
function ipPacket(linkType: number, data: Buffer): Buffer | undefined {
  switch (linkType) {
    case 0: // BSD loopback
    case 108:
      return data.subarray(4);
    case 1: // Ethernet
      return fromEthernet(data);
    case 12: // raw IP, in three numberings
    case 14:
    case 101:
    case 228:
    case 229:
      return data;
    case 113: // Linux "any", version 1
      return data.subarray(16);
    case 276: // Linux "any", version 2
      return data.subarray(20);
    default:
      return undefined;
  }
}

function fromEthernet(data: Buffer): Buffer | undefined {
  let at = 12;
  while (at + 2 <= data.length) {
    const type = data.readUInt16BE(at);
    at += 2;
    if (type === ETHERTYPE.IPV4 || type === ETHERTYPE.IPV6) return data.subarray(at);
    if (type !== ETHERTYPE.VLAN && type !== ETHERTYPE.SERVICE_VLAN) return undefined;
    at += 2;
  }
  return undefined;
}

interface Addressed {
  readonly source: string;
  readonly destination: string;
  readonly tcp: Buffer;
}

function fromIpv4(ip: Buffer): Addressed | undefined {
  if (ip.length < 20 || ip[9] !== TCP || (ip.readUInt16BE(6) & 0x3fff) !== 0) return undefined;
  const address = (at: number): string => [...ip.subarray(at, at + 4)].join('.');
  // Segments that the network card was to cut have length 0; short frames are padded behind theirs.
  const total = ip.readUInt16BE(2) || ip.length;
  return {
    source: address(12),
    destination: address(16),
    tcp: ip.subarray(((ip[0] as number) & 15) * 4, total),
  };
}

function fromIpv6(ip: Buffer): Addressed | undefined {
  if (ip.length < 40) return undefined;
  const address = (at: number): string =>
    `[${(
      ip
        .subarray(at, at + 16)
        .toString('hex')
        .match(/.{4}/g) ?? []
    )
      .map((group) => group.replace(/^0+(?=.)/, ''))
      .join(':')}]`;
  const end = ip.readUInt16BE(4) === 0 ? ip.length : 40 + ip.readUInt16BE(4);
  let next = ip[6] as number;
  let at = 40;
  while (EXTENSIONS.has(next) && at + 2 <= ip.length) {
    next = ip[at] as number;
    at += 8 + (ip[at + 1] as number) * 8;
  }
  if (next !== TCP) return undefined;
  return { source: address(8), destination: address(24), tcp: ip.subarray(at, end) };
}
