import type { FuzzTarget } from './target.ts';
import { addresses } from './targets/addresses.ts';
import { authorizedKeys } from './targets/authorized-keys.ts';
import { capture } from './targets/capture.ts';
import { configuration } from './targets/configuration.ts';
import { decoder } from './targets/decoder.ts';
import { front } from './targets/front.ts';
import { frontHello } from './targets/front-hello.ts';
import { handshake } from './targets/handshake.ts';
import { headerBlock } from './targets/header-block.ts';
import { identityFile } from './targets/identity-file.ts';
import { inflate } from './targets/inflate.ts';
import { keeperCaller } from './targets/keeper-caller.ts';
import { keyFiles } from './targets/key-files.ts';
import { knownHosts } from './targets/known-hosts.ts';
import { model } from './targets/model.ts';
import { sessionClear } from './targets/session-clear.ts';
import { sessionSealed } from './targets/session-sealed.ts';
import { spipedHandshake } from './targets/spiped-handshake.ts';
import { spipedPackets } from './targets/spiped-packets.ts';
import { tamper } from './targets/tamper.ts';
import { windows } from './targets/windows.ts';

export const TARGETS: readonly FuzzTarget[] = [
  decoder,
  headerBlock,
  inflate,
  sessionClear,
  sessionSealed,
  model,
  tamper,
  windows,
  front,
  handshake,
  spipedHandshake,
  spipedPackets,
  frontHello,
  keeperCaller,
  keyFiles,
  identityFile,
  knownHosts,
  authorizedKeys,
  capture,
  addresses,
  configuration,
];
