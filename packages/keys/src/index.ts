export {
  ALGORITHM,
  ALGORITHM_NAMES,
  type AlgorithmName,
  algorithmId,
  algorithmName,
  SHARED_KEY_PREFERENCE,
} from './algorithm-ids.ts';
export { secretBytes } from './bytes.ts';
export { MovableSha256, X25519Key } from './crypto.ts';
export { describeNego, type NegoDescription, offerOf } from './describe-message.ts';
export type { SealLimits } from './envelope.ts';
export {
  type FailureReason,
  failureReasons,
  KeyError,
  type KeyErrorCode,
  type KeyErrorScope,
  keyFailure,
} from './errors.ts';
export type { KeeperHoldings } from './holdings.ts';
export type { Admittance, Circumstances } from './identity/authorized-keys.ts';
export { Identities, type IdentityUse, SIGNED_LABEL } from './identity/identities.ts';
export { type AskPassphrase, readIdentityFile, readPublicIdentity } from './identity/identity-file.ts';
export { type HostEntry, hostName, type PeerName } from './identity/known-hosts.ts';
export { type OwnedFileRules, readOwnedFile } from './identity/owned-file.ts';
export { describeIdentity, fingerprint, formatPublicKey, sameIdentity } from './identity/public-key.ts';
export type { Restrictions } from './identity/restrictions.ts';
export type { Signer } from './identity/signer.ts';
export { SshAgent, type SshAgentOptions } from './identity/ssh-agent.ts';
export { type PeerVerified, type Trust, UnknownHostError } from './identity/trust.ts';
export { AuthorizedKeysFile, KnownHostsFile, type TrustSource } from './identity/trust-files.ts';
export type {
  Keeper,
  KeptKey,
  KeyHolder,
  Level,
  Offer,
  Role,
  RunContext,
  RunSecret,
  Step,
} from './keeper.ts';
export { createKeyFile, type KeyFile, readKeyFile } from './key-file.ts';
export { type KeyInfo, loadKeyInfo, saveKeyInfo } from './key-info.ts';
export { formatKeyLogEntry, type KeyLog, type KeyLogEntry, openLogged, parseKeyLog } from './key-log.ts';
export { Keyring, type KeyUse } from './keyring.ts';
export { LocalKeeper, type LocalKeeperOptions } from './local-keeper.ts';
export type { NegoFrame } from './nego-frame.ts';
export {
  type ClientGate,
  DEFAULT_NEGOTIATION_LIMITS,
  NegotiationGate,
  type NegotiationLimits,
  type Pass,
} from './negotiation-gate.ts';
export type { NegotiateOptions } from './negotiator.ts';
export { ANONYMOUS_LABEL, isAuthority } from './offer.ts';
export type { ReceiveKey } from './opener.ts';
export { KEY_FILE_MAX, KEY_FILE_MIN, PreSharedKey } from './pre-shared-key.ts';
export { KeyRegistry, type KeyRegistryOptions } from './registry.ts';
export type { RegistryEvent } from './registry-event.ts';
export { encodeReject, REJECT_REASON } from './reject.ts';
export type { SendKey } from './sealer.ts';
export { Secret } from './secret.ts';
export {
  LocalSpipedKeeper,
  type LocalSpipedKeeperOptions,
  type SpipedAwaiting,
  type SpipedKeeper,
  type SpipedRole,
  type SpipedTurn,
} from './spiped/keeper.ts';
export { type PacketOpener, type PacketSealer, packetKeys } from './spiped/packets.ts';
export type { StateSink, StateSource } from './state-port.ts';
