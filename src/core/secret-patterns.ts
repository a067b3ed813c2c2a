/*
 * Secrets that are known by their looks: what programs on nodes print was never in kvci's hands.
 */

const MASK = '***';

const PATTERNS: readonly (readonly [pattern: RegExp, by: string])[] = [
  // Bootstrap tokens of Kubernetes.
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, MASK],
  // kubeadm's key of certificates on their way, as a flag and as a field.
  [/(certificate-?key["']?[\s:=]+["']?)[0-9a-f]{64}/gi, `$1${MASK}`],
  // Private keys, whole.
  [/(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----)/g, `$1${MASK}$2`],
  // Credentials of a kubeconfig.
  [/((?:client-key-data|token|password)["']?:\s*["']?)[A-Za-z0-9+/=._-]{16,}/g, `$1${MASK}`],
  // JSON Web Tokens, such as those of service accounts.
  [/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}/g, MASK],
];

/** A text without tokens, keys and passwords that can be told by their looks. */
export function maskKnownSecrets(text: string): string {
  return PATTERNS.reduce((rest, [pattern, by]) => rest.replaceAll(pattern, by), text);
}
