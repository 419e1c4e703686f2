// biome-ignore-all lint/style/noRestrictedImports: A fuzzer calls parsers thousands of times a second; through the public interface each call would be a
// file, a process or a socket. Targets reach what they need from inside the packages here and nowhere else.

export { assignments, list, numbers, socketAddress } from '../../packages/cli/src/config.ts';
export { ConfigFile } from '../../packages/cli/src/config-file.ts';
export { parseDestination as parseCliDestination, parseTarget } from '../../packages/cli/src/route/target.ts';
export { frameJson, frameLines } from '../../packages/cli/src/wire/frame-lines.ts';
export { AuthorizedKeys } from '../../packages/keys/src/identity/authorized-keys.ts';
export { KnownHosts, KnownHostsError } from '../../packages/keys/src/identity/known-hosts.ts';
export {
  needsPassphrase,
  parseOpenSshPrivateKey,
  publicHalf,
} from '../../packages/keys/src/identity/openssh-private-key.ts';
export { SshFormatError } from '../../packages/keys/src/identity/ssh-wire.ts';
export { decodeSshsig, unarmorSshsig } from '../../packages/keys/src/identity/sshsig.ts';
export { decodeNego, encodeNego } from '../../packages/keys/src/nego-frame.ts';
export { type Link, link, passEnvelope, type Side } from '../../packages/keys/test/link.ts';
export { METHODS } from '../../packages/keys/test/methods.ts';
export { seeded } from '../../packages/keys/test/random.ts';
export { signerOf } from '../../packages/keys/test/signers.ts';
export { permits } from '../../packages/proxy/src/permit-open.ts';
export { readFrontHello } from '../../packages/streams/src/front-hello.ts';
export { pcap, pcapng } from '../../packages/trace/test/captures.ts';
