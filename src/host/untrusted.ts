/** What Node's and OpenSSL's codes have in common: `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_CERT_ALTNAME_INVALID`, `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`. */
const CODES = /CERT|ISSUER|_SIGNATURE|UNKNOWN_CA/;

/** What a host can do about it. */
export const TRUST_HINT = 'Add the CA to the certificates of the host, or name its file in NODE_EXTRA_CA_CERTS.';

/** Whether one side of a TLS connection does not take the other's certificate. */
export function isUntrusted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && CODES.test(String(error.code));
}
