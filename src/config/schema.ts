import { z } from 'zod';

import { clusterOptionsSchema } from '../cluster/options.ts';
import { messageOf } from '../core/errors.ts';
import { parseSize } from '../core/sizes.ts';
import { diskOptionsSchema } from '../disk/options.ts';
import { imageOptionsSchema } from '../image/options.ts';
import { parseToolsChoice } from '../sandbox/tools-choice.ts';

const address = (description: string) =>
  z
    .string()
    .regex(/^https?:\/\/[^/]/, 'not an http(s) address')
    .optional()
    .describe(description);

/** What kvci.yaml holds: the rooms' own options, each in a section. Every flag on the command line wins over it. */
export const configSchema = z
  .strictObject({
    image: imageOptionsSchema.partial().optional().describe('What to build: the flags of "kvci image build"'),
    disk: diskOptionsSchema.partial().optional().describe('What disks to make: the flags of "kvci disk build"'),
    cluster: clusterOptionsSchema.partial().optional().describe('What cluster to have: the flags of "kvci up"'),
    engine: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Container engine for builds and nodes: auto, docker, podman, embedded (started by kvci) or an address such as unix:///run/podman/podman.sock',
      ),
    tools: z
      .string()
      .check((context) => {
        try {
          parseToolsChoice(context.value);
        } catch (error) {
          context.issues.push({ code: 'custom', message: messageOf(error), input: context.value });
        }
      })
      .optional()
      .describe(
        'How the tools image comes: auto, packages (made of Debian packages), engine (built by Docker or Podman) or the image REF@sha256:… to pull',
      ),
    mirrors: z
      .strictObject({
        debian: address('Mirror of the Debian archive'),
        kubernetes: address('Mirror of https://dl.k8s.io'),
        downloads: address('Mirror of https://github.com with the downloads of releases'),
        api: address('Mirror of https://api.github.com with the lists of releases'),
        packages: address('Mirror of https://pkgs.k8s.io'),
        crio: address('Mirror of https://download.opensuse.org/repositories with the packages of CRI-O'),
        registry: z
          .string()
          .regex(/^[^/\s]+$/, 'not a registry such as registry.example.org:5000')
          .optional()
          .describe('Registry that stands for registry.k8s.io'),
      })
      .optional()
      .describe('Where to download from instead of upstream and the tools’ defaults; a mirror keeps the paths'),
    cache: z
      .strictObject({
        keep: z
          .string()
          .check((context) => {
            try {
              parseSize(context.value);
            } catch {
              context.issues.push({ code: 'custom', message: `"${context.value}" is not a size such as 20G`, input: context.value });
            }
          })
          .optional()
          .describe('What "kvci cache prune" keeps at most, such as 20G'),
      })
      .optional()
      .describe('The cache of built artifacts'),
  })
  .describe('Configuration of kvci (kvci.yaml)');

/** As it stands in the file: no defaults filled in, so that flags can be laid over it. */
export type Config = z.input<typeof configSchema>;

/** The published JSON Schema of kvci.yaml; `schema/kvci.schema.json` is this, written to a file. */
export function configJsonSchema(): object {
  return { ...z.toJSONSchema(configSchema, { io: 'input' }), title: 'kvci.yaml' };
}
