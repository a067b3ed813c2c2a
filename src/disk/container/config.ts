import { digestOf, hexOf } from '../../core/digest.ts';
import { renderTemplate, type TemplateSources } from '../../core/template.ts';
import type { DiskRequest } from '../types.ts';
import { rootSizeMib } from './sizes.ts';
import type { Dialect } from './types.ts';

/** The configuration that a converter is given beside its arguments. */
export function renderConfig(templates: TemplateSources, dialect: Dialect, request: DiskRequest): string {
  return renderTemplate(templates, dialect.config.template, {
    // One text: it becomes root's authorized_keys as it stands.
    key: request.sshKeys.join('\n'),
    kargs: request.kargs.join(' '),
    rootSize: `${rootSizeMib(request.size, request.source.architecture)} MiB`,
  });
}

/** What random identifiers of a disk are derived from, where the converter lets one say so: equal requests, equal numbers. */
export function seedOf({ source, format, size, filesystem, kargs, sshKeys }: DiskRequest): string {
  const digest = digestOf({ image: source.image.descriptor.digest, format, size, filesystem, kargs, sshKeys });
  // 13 hex digits stay within what every reader of integers keeps exactly.
  return String(Number.parseInt(hexOf(digest).slice(0, 13), 16));
}
