import { BINARY_FACTS } from './facts/binaries.ts';
import { CONTAINER_FACTS } from './facts/container.ts';
import { IDENTITY_FACTS } from './facts/identity.ts';
import { IMAGE_FACTS } from './facts/images.ts';
import { KERNEL_FACTS } from './facts/kernel.ts';
import { LAYOUT_FACTS } from './facts/layout.ts';
import { METADATA_FACTS } from './facts/metadata.ts';
import { RUNTIME_FACTS } from './facts/runtime.ts';
import { SERVICE_FACTS } from './facts/services.ts';
import type { Fact } from './types.ts';

/** Everything `kvci image check` asks of an image, in the order it is shown. */
export const FACTS: readonly Fact[] = [
  ...METADATA_FACTS,
  ...KERNEL_FACTS,
  ...LAYOUT_FACTS,
  ...IDENTITY_FACTS,
  ...SERVICE_FACTS,
  ...RUNTIME_FACTS,
  ...BINARY_FACTS,
  ...CONTAINER_FACTS,
  ...IMAGE_FACTS,
];
