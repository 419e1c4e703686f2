import type { Contender } from './contender.ts';
import { contenders as http2 } from './contenders/http2.ts';
import {
  contenders as keymux,
  earlyContenders as keymuxEarly,
  sessionContenders as keymuxSessions,
} from './contenders/keymux.ts';
import { contenders as programs } from './contenders/programs.ts';
import { contenders as spdyTransport } from './contenders/spdy-transport.ts';
import { contenders as tcp } from './contenders/tcp.ts';
import { contenders as tls, sessionContenders as tlsSessions } from './contenders/tls.ts';
import type { Work } from './work.ts';
import { bulkWorks } from './works/bulk.ts';
import { growthWorks } from './works/growth.ts';
import { idleWork } from './works/idle.ts';
import { linkWorks } from './works/links.ts';
import { sessionWork, smallWorks } from './works/small.ts';

const tunnels = [...keymux, ...tcp, ...tls, ...http2, ...programs, ...spdyTransport];
const sessions = [...keymuxSessions, ...tlsSessions];
const names = (list: readonly Contender[]): string[] => list.map(({ name }) => name);

export const CONTENDERS: readonly Contender[] = [...tunnels, ...sessions, ...keymuxEarly];

const onLinks = [
  'keymux',
  'keymux-early',
  'keymux-early-connect',
  'keymux-clear',
  'tcp',
  'tls-in-tls',
  'http2',
  'ssh',
];

export const WORKS: readonly Work[] = [
  ...bulkWorks(names(tunnels)),
  ...smallWorks(names(tunnels)),
  sessionWork(names(sessions)),
  idleWork(['keymux', 'keymux-clear', 'relay', 'tls-in-tls', 'http2', 'spdy-transport']),
  ...growthWorks(['keymux', 'keymux-clear']),
  ...linkWorks(CONTENDERS.filter(({ name }) => onLinks.includes(name))),
];
