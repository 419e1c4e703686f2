import {
  insideTunnel,
  overMemory,
  overSlicingWebSocket,
  overTcp,
  overUnixSocket,
  overWebSocket,
} from '../support/carriers.ts';
import { muxCompliance } from '../support/mux-compliance.ts';

muxCompliance('memory', overMemory);
muxCompliance('TCP', overTcp);
muxCompliance('a Unix socket', overUnixSocket);
muxCompliance('a WebSocket', overWebSocket);
muxCompliance('a WebSocket that slices arbitrarily', overSlicingWebSocket);
muxCompliance('a CONNECT tunnel', insideTunnel);
