import { expect, test } from 'vitest';

import { isUntrusted } from './untrusted.ts';

test.each([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', true],
  ['SELF_SIGNED_CERT_IN_CHAIN', true],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', true],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', true],
  ['CERT_HAS_EXPIRED', true],
  ['ERR_TLS_CERT_ALTNAME_INVALID', true],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', true],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', true],
  // No TLS at all.
  ['ERR_SSL_WRONG_VERSION_NUMBER', false],
  ['EPROTO', false],
  ['ECONNREFUSED', false],
])('%s: %s', (code, untrusted) => {
  expect(isUntrusted(Object.assign(new Error(code), { code }))).toBe(untrusted);
});
