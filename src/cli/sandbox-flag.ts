import { Option } from 'commander';

import { SANDBOX_KINDS } from '../sandbox/types.ts';

/** `--sandbox`: what virtual machines run in. */
export function sandboxFlag(): Option {
  return new Option('--sandbox <kind>', "what it runs in: namespaces, or a container of this host's engine")
    .choices(SANDBOX_KINDS)
    .default('namespaces');
}
