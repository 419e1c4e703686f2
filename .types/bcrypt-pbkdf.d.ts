declare module 'bcrypt-pbkdf' {
  /** Fills the first `keyLength` bytes of `key`. Returns 0, or -1 for arguments outside its limits. */
  export function pbkdf(
    password: Uint8Array,
    passwordLength: number,
    salt: Uint8Array,
    saltLength: number,
    key: Uint8Array,
    keyLength: number,
    rounds: number,
  ): number;
}
